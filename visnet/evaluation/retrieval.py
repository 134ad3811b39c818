"""How well photos find the other photos of their product: CMC, precision, R-precision and mAP@R, in flat memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from kernels.nearest import Gallery, nearest
from visnet.pipeline.log import SILENT, Log
from visnet.search.products import blocks

KS = (1, 5, 10, 20)


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Averages over the queries that have a relevant photo, NaN where there is none.

    queries: how many these are. lone: the other queries, which nothing could answer and no average counts. cmc: k ->
    share of queries with a relevant photo among the k nearest (recall@k over photos). precision: k -> share of the k
    nearest that is relevant. r_precision: the same at k = R, the query's number of relevant photos. map_at_r: the mean
    over i = 1 … R of the precision at i, counted 0 where the i-th photo is not relevant. by_category: category,
    queries, lone, cmc_at_<k> …, precision_at_<k> …, r_precision, map_at_r; sorted by name, "all" in the last row.
    """

    queries: int
    lone: int
    cmc: dict[int, float]
    precision: dict[int, float]
    r_precision: float
    map_at_r: float
    by_category: pd.DataFrame


def evaluate(
    embeddings: torch.Tensor,
    labels: np.ndarray,
    *,
    gallery: torch.Tensor | None = None,
    gallery_labels: np.ndarray | None = None,
    categories: np.ndarray | None = None,
    ks: Sequence[int] = KS,
    metric: str = "sq_euclidean",
    log: Log = SILENT,
) -> Retrieval:
    """Search every photo's nearest others, or with `gallery` its nearest there, and grade what has its label.

    embeddings: [N, D], each a query; labels: [N] integers, equal for photos of one product; gallery: [G, D] and
    gallery_labels: [G]; categories: [N] strings, rows of the table, while every query searches the whole gallery.

    Without a gallery no photo finds itself, by its row: copies of it count. Equal scores are in the order of rows, as
    `nearest` has them. MAP@R and R-precision are those of Musgrave et al., "A Metric Learning Reality Check" (2020), R
    however large; precision@k is over k, R and the gallery however small. Memory grows with N + G, not with N x G: at
    once `search.BLOCK_ANSWERS` neighbours are held, or the R of one query. ValueError says which sizes do not fit.
    """
    if (gallery is None) != (gallery_labels is None):
        raise ValueError("gallery and gallery_labels belong together; give both or neither")
    if not ks or min(ks) < 1:
        raise ValueError(f"ks are {tuple(ks)}; needed: at least one, each 1 or more")
    _check("labels", labels, embeddings)
    if categories is not None:
        _check("categories", categories, embeddings)
    if gallery is not None:
        _check("gallery_labels", gallery_labels, gallery)
    alone = gallery is None
    candidates = np.asarray(labels if gallery_labels is None else gallery_labels)
    names, code, count = np.unique(candidates, return_inverse=True, return_counts=True)
    own = pd.Index(names).get_indexer(np.asarray(labels))  # −1: no such product there
    relevant = np.where(own < 0, 0, np.append(count, 0)[own] - alone)
    prepared = Gallery(embeddings if gallery is None else gallery, metric=metric)

    asking = np.nonzero(relevant > 0)[0]
    columns = np.minimum(np.maximum(relevant[asking], max(ks)), len(candidates))
    grades = np.zeros((len(asking), 2 * len(ks) + 2))
    with log.progress("photos searched for", len(asking), unit="photo") as progress:
        for block, k in blocks(columns):
            rows = asking[block]
            query = torch.from_numpy(rows).to(embeddings.device)
            found = nearest(embeddings[query], prepared, k, exclude=query if alone else None).row.cpu().numpy()
            hits = (code[found] == own[rows, None]) & (found >= 0)
            grades[block] = _grade(hits, relevant[rows], ks)
            progress.advance(len(block))
    return _summary(grades, relevant > 0, categories, ks)


def _check(name: str, values: np.ndarray | None, vectors: torch.Tensor) -> None:
    shape = np.shape(values)  # type: ignore[arg-type]
    if shape != vectors.shape[:1]:
        raise ValueError(f"{name} are {shape} for vectors of {tuple(vectors.shape)}; needed is one for each")


def _grade(hits: np.ndarray, relevant: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """Grade neighbours [H, K] bool, of which `relevant` [H] <= K could hit: CMC, precision at each k, at R, mAP@R."""
    place = np.arange(hits.shape[1], dtype=np.int32)
    within = [hits[:, :k].sum(axis=1) for k in ks]
    hits = hits & (place < relevant[:, None])
    precision = hits.cumsum(axis=1, dtype=np.int32) * hits / (place + 1)
    at_r = [hits.sum(axis=1) / relevant, precision.sum(axis=1) / relevant]
    return np.stack([*(n > 0 for n in within), *(n / k for n, k in zip(within, ks, strict=True)), *at_r], axis=1)


def _summary(grades: np.ndarray, asking: np.ndarray, categories: np.ndarray | None, ks: Sequence[int]) -> Retrieval:
    """Average grades [Q', M] of the queries that ask, [Q] bool, whole and by category."""
    names = [*(f"cmc_at_{k}" for k in ks), *(f"precision_at_{k}" for k in ks), "r_precision", "map_at_r"]
    groups = [("all", np.ones(len(asking), bool))]
    if categories is not None:
        categories = np.asarray(categories, dtype=object)
        groups = [(name, categories == name) for name in sorted(set(categories.tolist()))] + groups
    rows = []
    for name, mine in groups:
        graded = grades[mine[asking]]
        means = graded.mean(axis=0) if len(graded) else np.full(len(names), np.nan)
        counts = {"queries": len(graded), "lone": int((mine & ~asking).sum())}
        rows.append({"category": name, **counts, **dict(zip(names, means.tolist(), strict=True))})
    whole = rows[-1]
    return Retrieval(
        queries=whole["queries"],
        lone=whole["lone"],
        cmc={k: whole[f"cmc_at_{k}"] for k in ks},
        precision={k: whole[f"precision_at_{k}"] for k in ks},
        r_precision=whole["r_precision"],
        map_at_r=whole["map_at_r"],
        by_category=pd.DataFrame(rows),
    )
