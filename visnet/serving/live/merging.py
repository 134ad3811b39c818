"""Rank a version's products and changed ones together, exactly: as a search of the catalog as changed would."""

from collections.abc import Mapping

import numpy as np
import torch

from visnet.serving.live.overlay import LivePhoto, Moment
from visnet.serving.searcher import Ranking, Searcher

MORE = 64  # photos of changes that are asked for beside those that are likely enough
WIDER = 4  # times as many are asked for where they were too few


def rank(
    searcher: Searcher, moment: Moment, vectors: torch.Tensor, k: int, category: str | None = None
) -> list[Ranking]:
    """Return for each of the vectors [B, D] the k nearest products, of the version and of its changes.

    Rows of changes are numbered on from the version's. Where both are equally far, the version's come first. The
    category may be one that only changes have.
    """
    if category is None or category in searcher.categories:
        own = min(k, searcher.products(category))
        base = searcher.rank(vectors, own, category, moment.valid)
    else:
        nothing = np.zeros(0, np.int64), np.zeros(0, np.float32)
        base = [Ranking(*nothing, None)] * len(vectors)
    if not len(moment.seen):
        return base
    reach = np.array([one.sq_distance[-1] if len(one.row) == k else np.inf for one in base], np.float32)
    share = min(1.0, k / max(1, searcher.products(category if category in searcher.categories else None)))
    near = _near(moment, vectors, k, reach, category, share)
    first = len(searcher.said["product_id"])
    return [
        _merged(searcher, moment, one, rows, distances, k, first, whole=category is None)
        for one, (rows, distances) in zip(base, near, strict=True)
    ]


def said(searcher: Searcher, photos: Mapping[int, LivePhoto], name: str, rows: np.ndarray) -> np.ndarray:
    """Return what is said of rows [N] of a ranking, [N] object; name: product_id, crop_id, category or colour."""
    of_version, first = searcher.said[name], len(searcher.said["product_id"])
    found = np.empty(len(rows), object)
    mine = rows < first
    found[mine] = of_version[rows[mine]]
    for at in np.flatnonzero(~mine):
        photo = photos[int(rows[at]) - first]
        found[at] = photo.crop_id if name == "crop_id" else getattr(photo.product.record, name)
    return found


def _near(
    moment: Moment, vectors: torch.Tensor, k: int, reach: np.ndarray, category: str | None, share: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return of each vector the nearest photo of the k nearest changed products that are not beyond its reach."""
    seen = moment.seen
    if category is not None:
        seen = seen.among(torch.from_numpy(moment.category == moment.codes.get(category, -1)))
    count = len(seen)
    asked = min(count, MORE + int(2 * share * count))
    while asked:
        found = seen.search(vectors, asked)
        rows, distances = found.row.numpy(), found.score.numpy()
        made = [_firsts(moment, *one, k) for one in zip(rows, distances, strict=True)]
        done = (distances[:, -1] > reach) | np.array([len(one) >= k for one in made])
        if asked == count or done.all():
            return [
                (rows[at, own][within], distances[at, own][within])
                for at, own in enumerate(made)
                if (within := distances[at, own] <= reach[at]) is not None
            ]
        asked = min(count, WIDER * asked)
    return [(np.zeros(0, np.int64), np.zeros(0, np.float32))] * len(vectors)


def _firsts(moment: Moment, rows: np.ndarray, distances: np.ndarray, k: int) -> np.ndarray:
    """Return the places of the nearest photo of each of the k nearest products, in order."""
    there = np.flatnonzero(rows >= 0)
    _, first = np.unique(moment.product[rows[there]], return_index=True)
    return there[np.sort(first)][:k]


def _merged(
    searcher: Searcher,
    moment: Moment,
    base: Ranking,
    rows: np.ndarray,
    distances: np.ndarray,
    k: int,
    first: int,
    *,
    whole: bool,
) -> Ranking:
    if not len(rows):
        return base
    row = np.concatenate([base.row, rows + first])
    sq_distance = np.concatenate([base.sq_distance, distances]).astype(np.float32)
    order = np.argsort(sq_distance, kind="stable")[:k]
    row, sq_distance = row[order], sq_distance[order]
    if not searcher.calibrated:
        return Ranking(row, sq_distance, None)
    category = said(searcher, moment.photos, "category", row)
    return Ranking(row, sq_distance, searcher.probability(sq_distance, category, whole=whole))
