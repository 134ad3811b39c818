"""Peers for the CPU: libraries of vectors, each with torch's number of threads."""

import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernels.nearest.bench.peer import AbsentError, Search, load

SCORES_BYTES = 2**28  # that numpy may hold at a time


def faiss_flat(gallery: Tensor, metric: str) -> Search:
    """Build IndexFlatL2 or IndexFlatIP; a cosine is an inner product of vectors scaled to unit length."""
    faiss = load("faiss")
    vectors = _array(gallery, unit=metric == "cosine")
    index = (faiss.IndexFlatL2 if metric == "sq_euclidean" else faiss.IndexFlatIP)(vectors.shape[1])
    index.add(vectors)
    return lambda queries, k: index.search(_array(queries, unit=metric == "cosine"), k)[1]


def sklearn_brute(gallery: Tensor, metric: str) -> Search:
    """Build NearestNeighbors(algorithm="brute")."""
    neighbors = load("sklearn.neighbors")
    name = {"sq_euclidean": "sqeuclidean", "cosine": "cosine"}[metric]
    index = neighbors.NearestNeighbors(algorithm="brute", metric=name).fit(_array(gallery))
    return lambda queries, k: index.kneighbors(_array(queries), k, return_distance=True)[1]


def usearch_exact(gallery: Tensor, metric: str) -> Search:
    """Build usearch's exact search, which has no index; threads are given by the call."""
    usearch = load("usearch.index")
    threads = torch.get_num_threads()
    vectors, name = _array(gallery), {"sq_euclidean": "l2sq", "inner_product": "ip", "cosine": "cos"}[metric]

    def search(queries: Tensor, k: int) -> Any:
        found = usearch.search(vectors, _array(queries), k, name, exact=True, threads=threads)
        return found.keys.reshape(queries.shape[0], -1)

    return search


def numkong_packed(gallery: Tensor, metric: str) -> Search:
    """Build NumKong's products with a packed matrix, whose sums are widened; numpy takes the k least."""
    numkong = load("numkong")
    packed, threads = numkong.dots_pack(_array(gallery)), torch.get_num_threads()
    name = {"sq_euclidean": "euclideans_packed", "inner_product": "dots_packed", "cosine": "angulars_packed"}[metric]
    multiply = getattr(numkong, name)

    def search(queries: Tensor, k: int) -> Any:
        cost = np.asarray(multiply(_array(queries), packed, threads=threads))
        return _sorted(-cost if metric == "inner_product" else cost, k)

    return search


def zvec_flat(gallery: Tensor, metric: str) -> Search:
    """Build a collection of zvec with its flat index in a temporary folder; it takes one query at a time."""
    zvec = load("zvec")
    vectors = _array(gallery)
    with suppress(RuntimeError):  # which says that it was done before: once a process
        zvec.init(query_threads=torch.get_num_threads(), log_level=zvec.LogLevel.ERROR)
    folder = tempfile.mkdtemp()
    path = str(Path(folder) / "collection")
    measure = {"sq_euclidean": "L2", "inner_product": "IP", "cosine": "COSINE"}[metric]
    index = zvec.FlatIndexParam(metric_type=getattr(zvec.MetricType, measure), use_contiguous_memory=True)
    field = zvec.VectorSchema("vector", zvec.DataType.VECTOR_FP32, vectors.shape[1], index_param=index)
    written = zvec.create_and_open(path, zvec.CollectionSchema("gallery", vectors=field))
    for start in range(0, len(vectors), 1000):
        part = range(start, min(start + 1000, len(vectors)))
        written.insert([zvec.Doc(str(row), vectors={"vector": vectors[row]}) for row in part])
    written.flush()
    written.optimize()
    written.close()
    opened = zvec.open(path, zvec.CollectionOption(read_only=True))

    def search(queries: Tensor, k: int) -> Any:
        asked = (zvec.Query("vector", vector=query) for query in _array(queries))
        return np.stack([opened.query_internal_ids(query, topk=k) for query in asked])

    weakref.finalize(search, shutil.rmtree, folder, ignore_errors=True)
    return search


def turbovec_4_bits(gallery: Tensor, metric: str) -> Search:
    """Build TurboQuant's codes of 4 bits a value, which are approximate and ranked by the inner product."""
    os.environ.setdefault("RAYON_NUM_THREADS", str(torch.get_num_threads()))  # read when its pool starts
    turbovec = load("turbovec")
    unit = metric == "cosine"
    if gallery.shape[1] % 8:
        raise AbsentError("takes a multiple of 8 dimensions")
    index = turbovec.TurboQuantIndex(dim=gallery.shape[1], bit_width=4)
    index.add(_array(gallery, unit=unit))
    index.prepare()
    return lambda queries, k: index.search(_array(queries, unit=unit), k)[1]


def numpy_argpartition(gallery: Tensor, metric: str) -> Search:
    """Build the norm expansion and argpartition in numpy, over blocks that keep the scores small."""
    vectors = _array(gallery, unit=metric == "cosine")
    sq_norm = np.einsum("gd,gd->g", vectors, vectors) if metric == "sq_euclidean" else None

    def search(queries: Tensor, k: int) -> Any:
        asked = _array(queries, unit=metric == "cosine")
        step = max(SCORES_BYTES // (4 * len(asked)), k)
        costs, rows = [], []
        for start in range(0, len(vectors), step):
            cost = asked @ vectors[start : start + step].T
            if sq_norm is None:
                np.negative(cost, out=cost)
            else:
                cost *= -2.0
                cost += sq_norm[start : start + step]
            kept = _least(cost, k)
            costs.append(np.take_along_axis(cost, kept, axis=1))
            rows.append(kept + start)
        cost, row = np.concatenate(costs, axis=1), np.concatenate(rows, axis=1)
        return np.take_along_axis(row, _sorted(cost, k), axis=1)

    return search


def _least(cost: Any, k: int) -> Any:
    return np.argpartition(cost, min(k, cost.shape[1]) - 1, axis=1)[:, :k]


def _sorted(cost: Any, k: int) -> Any:
    kept = _least(cost, k)
    return np.take_along_axis(kept, np.argsort(np.take_along_axis(cost, kept, axis=1), axis=1), axis=1)


def _array(vectors: Tensor, *, unit: bool = False) -> Any:
    if vectors.dtype != torch.float32:
        raise AbsentError(f"takes float32, not {str(vectors.dtype).removeprefix('torch.')}")
    return (torch.nn.functional.normalize(vectors) if unit else vectors).numpy()
