"""Rank a version's products and changed ones together, exactly: as a search of the catalog as changed would."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from visnet.serving.live.overlay import LivePhoto, Moment
from visnet.serving.searcher import Ranking, Searcher

MORE = 64  # photos of changes that are asked for beside those that are likely enough
WIDER = 4  # times as many are asked for where they were too few


@dataclass(frozen=True, eq=False)
class Among:
    """What may answer: a category whose photos of the version are read, None for all, and of these some, by bits.

    standing: how many products of the version they are, 0 for none. live: the changed photos by their numbers, [N]
    bool, None for all; changed: how many products they are.
    """

    category: str | None
    valid: torch.Tensor | None
    standing: int
    live: np.ndarray | None
    changed: int


def rank(
    searcher: Searcher,
    moment: Moment,
    vectors: torch.Tensor,
    k: int,
    among: Among,
    but: Sequence[int] | None = None,
) -> list[Ranking]:
    """Return for each of the vectors [B, D] the k nearest products, of the version and of its changes.

    Rows of changes are numbered on from the version's. Where both are equally far, the version's come first. but: for
    each vector a row whose product does not answer, -1 for none.
    """
    first = len(searcher.said["product_id"])
    apart = np.full(len(vectors), -1) if but is None else np.asarray(but)
    base = [searcher.nothing()] * len(vectors)
    if among.standing:
        own = np.where(apart < first, apart, -1).tolist()
        base = searcher.rank(vectors, min(k, among.standing), among.category, among.valid, own)
    if not among.changed:
        return base
    reach = np.array([one.sq_distance[-1] if len(one.row) == k else np.inf for one in base], np.float32)
    share = min(1.0, k / max(1, among.standing))
    without = np.where(apart < first, 0, moment.product[np.maximum(apart - first, 0)])  # codes begin with 1
    near = _near(moment, vectors, k, reach, among.live, share, without)
    return [
        _merged(searcher, moment, one, rows, distances, k, first, whole=among.category is None)
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
    moment: Moment,
    vectors: torch.Tensor,
    k: int,
    reach: np.ndarray,
    live: np.ndarray | None,
    share: float,
    without: np.ndarray,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return of each vector the nearest photo of the k nearest changed products that are not beyond its reach."""
    seen = moment.seen if live is None else moment.seen.among(torch.from_numpy(live))
    count = len(seen)
    asked = min(count, MORE + int(2 * share * count))
    while asked:
        found = seen.search(vectors, asked)
        rows, distances = found.row.numpy(), found.score.numpy()
        made = [_firsts(moment, own, k, code) for own, code in zip(rows, without, strict=True)]
        done = (distances[:, -1] > reach) | np.array([len(one) >= k for one in made])
        if asked == count or done.all():
            return [
                (rows[at, own][within], distances[at, own][within])
                for at, own in enumerate(made)
                if (within := distances[at, own] <= reach[at]) is not None
            ]
        asked = min(count, WIDER * asked)
    return [(np.zeros(0, np.int64), np.zeros(0, np.float32))] * len(vectors)


def _firsts(moment: Moment, rows: np.ndarray, k: int, without: int) -> np.ndarray:
    """Return the places of the nearest photo of each of the k nearest products but one, in order."""
    there = np.flatnonzero(rows >= 0)
    there = there[moment.product[rows[there]] != without]
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
