"""Peers for the CPU: FAISS, scikit-learn, numpy and usearch, each with torch's number of threads."""

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
        kept = _least(cost, k)
        order = np.argsort(np.take_along_axis(cost, kept, axis=1), axis=1)
        return np.take_along_axis(row, np.take_along_axis(kept, order, axis=1), axis=1)

    return search


def _least(cost: Any, k: int) -> Any:
    return np.argpartition(cost, min(k, cost.shape[1]) - 1, axis=1)[:, :k]


def _array(vectors: Tensor, *, unit: bool = False) -> Any:
    if vectors.dtype != torch.float32:
        raise AbsentError(f"takes float32, not {str(vectors.dtype).removeprefix('torch.')}")
    return (torch.nn.functional.normalize(vectors) if unit else vectors).numpy()
