"""The sampler of Visnet (after its paper; its code released none): positives and negatives by what scorers rank where.

Basic image similarity scorers (BISS) order a query's category; what one of them ranks high is a positive, what it ranks
in the middle an in-class negative.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from visnet.pipeline.stage import Frozen, Share
from visnet.sampling.blocks import Blocks
from visnet.sampling.crops import Crops
from visnet.sampling.ranked import RankedLists
from visnet.sampling.sampled import Asked, Sampled
from visnet.sampling.scorers import check_descriptors

KINDS = ("biss/in", "biss/out")
BARRED = "in-class ranks hold only its product, and what some scorer finds alike"

Rank = Annotated[int, Field(ge=1, le=1_000_000)]


class Params(Frozen):
    """Ranks of a scorer's list: positives among the first, in-class negatives from first to last; and their share."""

    positives: Rank = 200
    first: Rank = 500
    last: Rank = 1000
    in_class: Share = 0.3

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        _check_ranks(self.positives, self.first, self.last)
        return self


def draw(asked: Asked, params: Params) -> Sampled:
    """Draw as `sample` does."""
    return sample(asked.crops, asked.looks(), asked.count, asked.rng, split=asked.split, **params.model_dump())


def sample(
    crops: Crops,
    descriptors: Mapping[str, Tensor],
    count: int,
    rng: np.random.Generator,
    *,
    split: str | None,
    positives: int = 200,
    first: int = 500,
    last: int = 1000,
    in_class: float = 0.3,
) -> Sampled:
    """Draw `count` triplets by the ranks that scorers give, exactly the share `in_class` with an in-class negative.

    descriptors: scorer -> [N, D], a row per crop. The query is drawn uniformly among the crops that can have such a
    negative. A scorer's list for it is its category without its own photo, nearest first, equals in the order of rows.
    The positive: a scorer at random, then uniformly of the first `positives` of its list. The in-class negative: a
    scorer at random of those that have one, then uniformly of its ranks `first` to `last`, less the query's product and
    the photos that any scorer has among its first `positives`. The out-of-class negative: uniformly of other products
    of other categories. No negative is on a photo that shows the query's product. Where a list has only C < `last`
    entries, the ranks shrink to floor(positives C / last), at least 1; ceil(first C / last), at least 2; and C.
    Triplets may repeat; a kind without any query is left out, and said in `short`. `split=None` samples the whole
    table. `ValueError` for an unknown split, and for descriptors or numbers that are no such thing.
    """
    _check(crops, descriptors, count, positives, first, last, in_class)
    rows = np.flatnonzero(crops.pool(split))
    asks = crops.queries(split)[rows]
    here = crops.take(rows)
    lists = RankedLists.of(
        here, {name: d[torch.from_numpy(rows)] for name, d in descriptors.items()}, positives, first, last
    )
    same, other = Blocks.of(here.category, here.product), Blocks.of(np.zeros_like(here.category), here.category)
    within, beyond = lists.foreign.sizes(same) > 0, lists.foreign.sizes(other) > 0

    inside = int(count * Fraction(str(in_class)) + Fraction(1, 2))
    needs = [
        {"no other photo in its category": lists.length > 0, "no other product in its category": within},
        {"no other photo in its category": lists.length > 0, "no product of another category": beyond},
    ]
    parts: list[np.ndarray] = []
    kinds: list[np.ndarray] = []
    short: dict[str, int] = {}
    skipped: dict[str, int] = {}
    for number, quota in enumerate((inside, count - inside)):
        if quota == 0:
            continue
        skipped |= {f"there is {name}": int((asks & ~has).sum()) for name, has in needs[number].items()}
        eligible = np.flatnonzero(np.logical_and.reduce([asks, *needs[number].values()]))
        if number == 0:
            found = lists.inside(eligible[lists.length[eligible] > 1], quota, rng)
        elif eligible.size:
            q = eligible[rng.integers(0, eligible.size, quota)]
            found = np.stack([q, lists.positives(q, rng), lists.foreign.draw(other, q, rng)], axis=1)
        else:
            found = np.empty((0, 3), dtype=np.int64)
        if len(found) < quota:
            short[f"{KINDS[number]}: {_reason(asks, eligible, needs[number])}"] = quota - len(found)
        parts.append(found)
        kinds.append(np.full(len(found), number, dtype=np.int8))

    triplets = rows[np.concatenate([np.empty((0, 3), dtype=np.int64), *parts])]
    kind = np.concatenate([np.empty(0, dtype=np.int8), *kinds])
    order = rng.permutation(len(triplets))
    return Sampled(triplets[order], kind[order], KINDS, short, {why: n for why, n in skipped.items() if n})


def _reason(asks: np.ndarray, eligible: np.ndarray, needs: Mapping[str, np.ndarray]) -> str:
    if not asks.any():
        return "the split has no crop to ask with"
    for name, has in needs.items():
        if not has.any():
            return f"every crop has {name}"
    return f"of every query the {BARRED}" if eligible.size else "no query has both, a positive and a negative"


def _check(
    crops: Crops,
    descriptors: Mapping[str, Tensor],
    count: int,
    positives: int,
    first: int,
    last: int,
    in_class: float,
) -> None:
    check_descriptors(crops, descriptors)
    if count < 0:
        raise ValueError(f"count is {count}; allowed is 0 or more")
    _check_ranks(positives, first, last)
    if not 0 <= in_class <= 1:
        raise ValueError(f"in_class is {in_class}; allowed is 0 to 1")


def _check_ranks(positives: int, first: int, last: int) -> None:
    if not 1 <= positives < first <= last:
        raise ValueError(
            f"positives, first, last are {positives}, {first}, {last}; needed is 1 <= positives < first <= last"
        )
