"""Exact k nearest neighbours: one function, one answer from every backend."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kernels.nearest.contract import (
    Admission,
    Neighbors,
    admit,
    check_choice,
    check_pair,
    check_vectors,
    check_within,
    pack_bits,
    without_autocast,
)
from kernels.nearest.gallery import BACKENDS, COMPUTES, Gallery, choose, module
from kernels.nearest.live import LiveGallery
from kernels.nearest.pairs import Pairs, pairs_among, pairs_within
from kernels.nearest.score import METRICS, nothing
from kernels.nearest.select import merge

__all__ = [
    "BACKENDS",
    "COMPUTES",
    "METRICS",
    "Gallery",
    "LiveGallery",
    "Neighbors",
    "Pairs",
    "merge",
    "nearest",
    "pack_bits",
    "pairs_among",
    "pairs_within",
]

Answer = Callable[[Tensor, Any, int, Admission], Neighbors]


@torch.no_grad()
def nearest(
    queries: Tensor,
    gallery: Tensor | Gallery,
    k: int,
    *,
    metric: str | None = None,
    valid: Tensor | None = None,
    group: Tensor | None = None,
    exclude: Tensor | None = None,
    within: Tensor | None = None,
    compute: str = "auto",
    backend: str = "auto",
) -> Neighbors:
    """Find the k nearest gallery rows of each query, best first, equal scores in the order of their rows.

    queries: [Q, D]; gallery: [G, D] or a `Gallery`; each float32, float16, bfloat16 or int8, finite, any strides, on
    one device, of norms up to 2**62 but for a cosine. metric: "sq_euclidean" (the default), "inner_product" or
    "cosine"; a `Gallery` brings its own.
    valid: [G] bool, or the bitset of `pack_bits`: the rows that may answer. group: [G] int64: of each group only the
    best row answers, so that the answer is k distinct groups. exclude: [Q] int64: a group not to return, or without
    `group` a row; -1 for none. within: [Q, 2] int64: the half-open range of rows that may answer; nothing else is read.
    compute: the type that is scanned in, "float32", "bfloat16" or "int8"; whatever it is, the answer is the same.
    backend: "reference", "cpu" or "triton" runs or raises; "auto" chooses, as it does for `compute`.

    Returns Neighbors of K = min(k, G) columns, the same to the bit from every backend: scores are the real numbers of
    the metric's definition, rounded once to float32. Raises ValueError, in one line, for anything else.
    """
    if isinstance(gallery, Gallery):
        if metric not in (None, gallery.metric):
            raise ValueError(f"metric is {metric!r} and the Gallery was made for {gallery.metric!r}; they must agree")
        if backend not in ("auto", gallery.backend) or compute != "auto":
            raise ValueError(f"backend {backend!r} and compute {compute!r} are set; a Gallery brings its own")
        vectors, metric, chosen = gallery.vectors, gallery.metric, gallery.backend
    else:
        metric = "sq_euclidean" if metric is None else metric
        check_choice("metric", metric, METRICS)
        check_choice("compute", compute, COMPUTES)
        check_vectors("gallery", gallery, metric)
        vectors, chosen = gallery, choose(backend, gallery.device)
    check_vectors("queries", queries, metric)
    check_pair(queries, vectors, k)
    admission = admit(queries, vectors, valid, group, exclude)
    k = min(k, vectors.shape[0])
    if queries.shape[0] == 0 or k == 0:
        return _none(queries, k, metric)
    run = module(chosen)
    with without_autocast(queries.device):
        if isinstance(gallery, Gallery):
            prepared = gallery.prepared
        else:
            prepared = run.prepare(gallery, metric, compute, keep=False)
        if within is None:
            return run.answer(queries, prepared, k, admission)
        return _within(queries, prepared, k, metric, admission, check_within(within, queries, vectors), run.answer)


def _within(
    queries: Tensor, prepared: Any, k: int, metric: str, admission: Admission, within: Tensor, answer: Answer
) -> Neighbors:
    """Answer the queries of each range together, from that range's rows alone."""
    found = _none(queries, k, metric)
    ranges, which = torch.unique(within, dim=0, return_inverse=True)
    for number, (start, stop) in enumerate(ranges.tolist()):
        if start == stop:
            continue
        own = torch.nonzero(which == number)[:, 0]
        part = answer(
            queries[own], prepared.rows(start, stop), min(k, stop - start), admission.of(own).rows(start, stop)
        )
        columns = slice(0, part.row.shape[1])
        found.score[own, columns], found.proven[own] = part.score, part.proven
        found.row[own, columns] = torch.where(part.row < 0, -1, part.row + start)
    return found


def _none(queries: Tensor, k: int, metric: str) -> Neighbors:
    shape, device = (queries.shape[0], k), queries.device
    return Neighbors(
        torch.full(shape, nothing(metric), device=device),
        torch.full(shape, -1, dtype=torch.int64, device=device),
        torch.ones(shape[0], dtype=torch.bool, device=device),
    )
