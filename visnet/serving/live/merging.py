"""Rank a version's products and changed ones together, exactly: as a search of the catalog as changed would."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kernels.nearest.snapshot import Snapshot
from visnet.serving.live.products import LivePhoto, Moment
from visnet.serving.ranking import Ranking
from visnet.serving.searcher import Searcher

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
    known: Sequence[Ranking] | None = None,
    *,
    collapse: bool = False,
    uncropped: bool = False,
) -> list[Ranking]:
    """Return for each of the vectors [B, D] the k nearest products, of the version and of its changes.

    uncropped: nothing was cut out of the photos. All else as `nearest` says.
    """
    found = nearest(searcher, moment, vectors, k, among, but, known, collapse=collapse)
    if not searcher.calibrated:
        return found
    whole = among.category is None
    return [
        searcher.ranking(
            one.row,
            one.sq_distance,
            said(searcher, moment.photos, "category", one.row),
            whole=whole,
            uncropped=uncropped,
        )
        for one in found
    ]


def nearest(
    searcher: Searcher,
    moment: Moment,
    vectors: torch.Tensor,
    k: int,
    among: Among,
    but: Sequence[int] | None = None,
    known: Sequence[Ranking] | None = None,
    *,
    collapse: bool = False,
) -> list[Ranking]:
    """Return for each of the vectors [B, D] the k nearest products, without probabilities.

    Rows of changes are numbered on from the version's. Where both are equally far, the version's come first. but: for
    each vector a row whose product does not answer, -1 for none. known: for each the k nearest of the version, all of
    which were there before the changes. collapse: of a listing only the nearest answers. What is among the k nearest of
    all is among the k nearest of its side, so that none is missed.
    """
    first, listings = len(searcher.said["product_id"]), searcher.listings
    apart = np.full(len(vectors), -1) if but is None else np.asarray(but)
    base = [Ranking(np.zeros(0, np.int64), np.zeros(0, np.float32), None)] * len(vectors)
    numbers = moment.listing if collapse else moment.product
    of_changed = numbers[np.maximum(apart - first, 0)]
    own, without = np.where(apart < first, apart, -1), np.where(apart < first, -1, of_changed)
    if collapse:  # a listing may have photos on both sides
        without = np.where((apart >= 0) & (apart < first), listings.code[np.minimum(apart, first - 1)], without)
        both = (apart >= first) & (of_changed < listings.count)
        own = np.where(both, listings.row[np.minimum(of_changed, listings.count - 1)], own)
    if known is not None and all(moment.alive[one.row].all() for one in known):
        base = list(known)
    elif among.standing:
        base = searcher.nearest(
            vectors, min(k, among.standing), among.category, among.valid, own.tolist(), collapse=collapse
        )
    if not among.changed:
        return base
    reach = np.array([one.sq_distance[-1] if len(one.row) == k else np.inf for one in base], np.float32)
    share = min(1.0, k / max(1, among.standing))
    seen = moment.seen if among.live is None else moment.seen.among(torch.from_numpy(among.live))
    near = _near(seen, numbers, vectors, k, reach, share=share, without=without)
    return [
        _merged(searcher, moment, one, rows, distances, k, collapse=collapse)
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


def listings_of(searcher: Searcher, changed: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the listings of rows [N] of a ranking, [N] int64; changed: those of the changed photos, by number."""
    first, found = len(searcher.said["product_id"]), np.empty(len(rows), np.int64)
    mine = rows < first
    found[mine], found[~mine] = searcher.listings.code[rows[mine]], changed[rows[~mine] - first]
    return found


def _near(
    seen: Snapshot,
    numbers: np.ndarray,
    vectors: torch.Tensor,
    k: int,
    reach: np.ndarray,
    *,
    share: float,
    without: np.ndarray,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return of each vector the nearest photo of the k nearest changed products that are not beyond its reach."""
    count = len(seen)
    asked = min(count, MORE + int(2 * share * count))
    while asked:
        found = seen.search(vectors, asked)
        rows, distances = found.row.numpy(), found.score.numpy()
        made = [_firsts(numbers, own, k, code) for own, code in zip(rows, without, strict=True)]
        done = (distances[:, -1] > reach) | np.array([len(one) >= k for one in made])
        if asked == count or done.all():
            return [
                (rows[at, own][within], distances[at, own][within])
                for at, own in enumerate(made)
                if (within := distances[at, own] <= reach[at]) is not None
            ]
        asked = min(count, WIDER * asked)
    return [(np.zeros(0, np.int64), np.zeros(0, np.float32))] * len(vectors)


def _firsts(numbers: np.ndarray, rows: np.ndarray, k: int, without: int) -> np.ndarray:
    """Return the places of the nearest photo of each of the k nearest products, by their numbers, but one; in order."""
    there = np.flatnonzero(rows >= 0)
    there = there[numbers[rows[there]] != without]
    _, first = np.unique(numbers[rows[there]], return_index=True)
    return there[np.sort(first)][:k]


def _merged(
    searcher: Searcher,
    moment: Moment,
    base: Ranking,
    rows: np.ndarray,
    distances: np.ndarray,
    k: int,
    *,
    collapse: bool,
) -> Ranking:
    if not len(rows):
        return base
    first = len(searcher.said["product_id"])
    row = np.concatenate([base.row, rows + first])
    sq_distance = np.concatenate([base.sq_distance, distances]).astype(np.float32)
    order = np.argsort(sq_distance, kind="stable")
    if collapse:
        _, nearest = np.unique(listings_of(searcher, moment.listing, row[order]), return_index=True)
        order = order[np.sort(nearest)]
    return Ranking(row[order[:k]], sq_distance[order[:k]], None)
