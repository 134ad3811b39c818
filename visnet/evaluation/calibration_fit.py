"""Fit what hits mean, to photos whose product is known: which of the products found is theirs, and at what distance.

The kind of curve, logistic (Platt, "Probabilistic outputs for support vector machines", 1999) or isotonic (Zadrozny and
Elkan, KDD 2002), is the one with the lower cross-validated log loss, and so is whether a category has a curve of its
own. Photos of one product are in one fold.

Whether the catalog has a product at all is fitted to the nearest hits of photos whose product it has, and to what the
same photos find nearest where that is left out. As many of either are met there, and not in a shop: weighting right and
wrong answers moves all log-odds by one constant (King and Zeng, "Logistic regression in rare events data", 2001).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
import torch

from visnet.embedding.vectors import Vectors
from visnet.evaluation.calibration import Calibration, Curve, Curves, Ranked, SearchCurves
from visnet.search.products import nearest_products

FOLDS = 5
PHOTOS_MIN = 50  # of a calibration: fewer tell next to nothing of their nearest hits
HITS_MIN, KIND_MIN = 300, 30  # of a category's own curve: hits, and how many of them are right and how many are not
SLOPE_MIN = 5  # of a slope: as many hits that are right, and as many that are not
_NONE: list[np.ndarray] = [np.zeros(0, kind) for kind in (float, bool, object, np.int64, bool)]
WIDEST = 4.0  # squared distance of two unit vectors that face each other


@dataclass(frozen=True, eq=False)
class Hits:
    """What photos found, [P] each.

    sq_distance: float64; same: whether it is the photo's product, bool; category: of the hit; product: of the photo, a
    number; first: whether it is the photo's nearest, bool.
    """

    sq_distance: np.ndarray
    same: np.ndarray
    category: np.ndarray
    product: np.ndarray
    first: np.ndarray

    def of(self, mask: np.ndarray) -> "Hits":
        """Return the hits of a mask, bool [P]."""
        return Hits(*(getattr(self, field.name)[mask] for field in fields(self)))

    def rarer(self) -> int:
        """Return how many are right, or how many are wrong, whichever is less."""
        right = int(self.same.sum())
        return min(right, len(self.same) - right)


def hits(queries: Vectors, shop: Vectors, k: int, *, whole: bool) -> Hits:
    """Search the k nearest products of photos, in the category of each or in the whole shop, as a search shows them.

    Photos whose product is not in the shop are left out: no hit could be right. Where rows have a `photo_id`, those of
    one photo are what it shows: it asks once, or once in each of their categories, and any of them is right.
    """
    both = pd.concat([shop.rows, queries.rows])
    code = both.groupby(["category", "product_id"], sort=False).ngroup().to_numpy()
    product, own = code[: len(shop.rows)], code[len(shop.rows) :]
    category, asked = (vectors.rows["category"].to_numpy(object) for vectors in (shop, queries))
    photo = pd.factorize(queries.rows["photo_id"])[0] if "photo_id" in queries.rows else np.arange(len(own))
    shown = photo * len(both) + own  # a photo and a product of it, as one number
    findable = np.isin(own, product)
    searches = [(findable, np.ones(len(product), bool))]
    if not whole:
        searches = [(findable & (asked == name), category == name) for name in sorted(set(asked[findable].tolist()))]
    parts = [_NONE]
    for asking, here in searches:
        rows = np.flatnonzero(asking)
        rows = rows[np.sort(np.unique(photo[rows], return_index=True)[1])]
        gallery, mine = shop.where(here), own[rows]
        found = nearest_products(queries.matrix[torch.from_numpy(rows)], gallery.matrix, product[here], k)
        there = found.row >= 0
        columns = (
            found.sq_distance.astype(np.float64),
            np.isin(photo[rows][:, None] * len(both) + product[here][found.row], shown),
            category[here][found.row],
            np.broadcast_to(mine[:, None], there.shape),
            np.broadcast_to(np.arange(k) == 0, there.shape),
        )
        parts.append([column[there] for column in columns])
    return Hits(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def with_and_without(found: Hits) -> Hits:
    """Return the nearest hits of photos, and their nearest where what they show is left out of the shop.

    `same` is then whether it was there. Left out are all the products that a photo shows: what is left is the nearest
    of its hits that are wrong. A photo that has none, as in a category of one product, is not met without.
    """
    photo = np.cumsum(found.first)  # hits are photo by photo, nearest first
    wrong = np.flatnonzero(~found.same)
    without = wrong[np.unique(photo[wrong], return_index=True)[1]]
    there = found.first.nonzero()[0]
    rows = np.concatenate([there, without])
    both = {field.name: getattr(found, field.name)[rows] for field in fields(found)}
    return Hits(**both | {"same": np.arange(len(rows)) < len(there), "first": np.ones(len(rows), bool)})


def calibrated(
    validation: Vectors,
    shop: Vectors,
    k: int,
    *,
    seed: int,
    uncropped: Vectors | None = None,
    in_catalog_share: float = 0.5,
) -> Calibration | None:
    """Fit what hits among the k nearest products mean, to street photos that did not train; None of too few.

    All vectors are by one model, whose calibration it is. uncropped: those of the photos as they are, where crops were
    cut out of them: a row for each product that is shown, with its `photo_id`. in_catalog_share: of how many of the
    photos that will ask the catalog has the product.
    """
    share = in_catalog_share
    found = _searches(validation, shop, k, seed, share)
    if found is None:
        return None
    whole_photos = None if uncropped is None else _searches(uncropped, shop, k, seed, share)
    return Calibration(model=shop.model, k=k, uncropped=whole_photos, in_catalog_share=share, **dict(found))


def _searches(validation: Vectors, shop: Vectors, k: int, seed: int, share: float) -> SearchCurves | None:
    within, whole = (hits(validation, shop, k, whole=whole) for whole in (False, True))
    photos = int(whole.first.sum())
    if photos < PHOTOS_MIN:
        return None
    ranked = []
    for found in (within, whole):
        later = found.of(~found.first)
        curves = [fit(some, seed=seed) for some in (found.of(found.first), later if len(later.same) else found)]
        met = with_and_without(found)
        enough = min(met.same.sum(), (~met.same).sum()) >= PHOTOS_MIN
        in_catalog = fit(met, seed=seed, share=share) if enough else None
        ranked.append(Ranked(first=curves[0], later=curves[1], in_catalog=in_catalog))
    return SearchCurves(queries=photos, within=ranked[0], whole=ranked[1])


def fit(found: Hits, *, seed: int, share: float | None = None) -> Curves:
    """Fit the curves of some hits: of all, and of each category that has enough and gains by it.

    share: in 0..1, of right ones among the hits that will be asked about; None where it is that of these. Each right or
    wrong one then weighs as much as makes it so.
    """
    now = float(found.same.mean())
    share = now if share is None else share
    weight = np.where(found.same, share / max(now, 1e-12), (1 - share) / max(1 - now, 1e-12))
    by = 0.0 if share == now else float(np.log(share / now) - np.log((1 - share) / (1 - now)))
    fold = _folds(found.product, seed)
    held_out = {kind: _held_out(found, fold, kind, by) for kind in FITS}
    kind = min(FITS, key=lambda name: _log_loss(held_out[name], found.same, weight))
    categories = {}
    for name in sorted(set(found.category.tolist())):
        mine = found.category == name
        own = found.of(mine)
        if len(own.same) < HITS_MIN or own.rarer() < KIND_MIN:
            continue
        tried = {one: _log_loss(_held_out(own, fold[mine], one, by), own.same, weight[mine]) for one in FITS}
        best = min(tried, key=lambda one: tried[one])
        if tried[best] < _log_loss(held_out[kind][mine], own.same, weight[mine]):
            categories[name] = FITS[best](own.sq_distance, own.same).moved(by)
    return Curves(pooled=FITS[kind](found.sq_distance, found.same).moved(by), categories=categories)


def logistic(sq_distance: np.ndarray, same: np.ndarray) -> Curve:
    """Fit log-odds that fall in a line; where they would rise, or one answer is nearly all there is, they are level."""
    from sklearn.linear_model import LogisticRegression  # here: it takes a second to import

    mean, deviation = float(sq_distance.mean()), float(sq_distance.std())
    level = _log_odds(np.array([same.mean()]), len(same))[0]
    ends = np.array([0.0, max(WIDEST, 2 * float(sq_distance.max()))])
    log_odds = np.array([level, level])
    if SLOPE_MIN <= same.sum() <= len(same) - SLOPE_MIN and deviation > 0:
        # Next to no shrinkage, which keeps classes that can be parted from being parted without end.
        fitted = LogisticRegression(C=100.0).fit(((sq_distance - mean) / deviation)[:, None], same)
        slope = float(fitted.coef_[0, 0]) / deviation
        if slope < 0:
            log_odds = float(fitted.intercept_[0]) + slope * (ends - mean)
    return Curve(kind="logistic", sq_distance=tuple(ends.tolist()), log_odds=tuple(log_odds.tolist()))


def isotonic(sq_distance: np.ndarray, same: np.ndarray) -> Curve:
    """Fit the steps that fall; no step is surer than so many hits can make it."""
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(increasing=False).fit(sq_distance, same.astype(float))
    corners, share = fitted.X_thresholds_, fitted.y_thresholds_
    log_odds = np.minimum.accumulate(_log_odds(share, len(same)))
    return Curve(kind="isotonic", sq_distance=tuple(corners.tolist()), log_odds=tuple(log_odds.tolist()))


FITS: dict[str, Callable[[np.ndarray, np.ndarray], Curve]] = {"logistic": logistic, "isotonic": isotonic}


def _log_odds(share: np.ndarray, count: int) -> np.ndarray:
    """Return log-odds, as of one more hit that is right and one that is not: none is certain."""
    bounded = np.clip(share, 1 / (count + 2), (count + 1) / (count + 2))
    odds: np.ndarray = np.log(bounded) - np.log1p(-bounded)
    return odds


def _folds(product: np.ndarray, seed: int) -> np.ndarray:
    names, code = np.unique(product, return_inverse=True)
    folds: np.ndarray = np.random.default_rng(seed).permutation(len(names))[code] % FOLDS
    return folds


def _held_out(found: Hits, fold: np.ndarray, kind: str, by: float) -> np.ndarray:
    """Return the probability of each hit by a curve that was fitted to the other folds and moved, [P] float64."""
    said = np.zeros(len(fold))
    for number in np.unique(fold):
        mine = fold == number
        others = found.of(~mine) if not mine.all() else found
        said[mine] = FITS[kind](others.sq_distance, others.same).moved(by).probability(found.sq_distance[mine])
    return said


def _log_loss(said: np.ndarray, same: np.ndarray, weight: np.ndarray) -> float:
    return -float(np.average(np.log(np.maximum(np.where(same, said, 1 - said), 1e-12)), weights=weight))
