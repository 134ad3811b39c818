"""The Street2Shop sampler: each street crop with each shop crop of its product, and random negatives of its category.

The released sampler drew 100 negatives per pair and lost those it had to reject; here they are drawn anew.
"""

from collections.abc import Callable

import numpy as np
from pydantic import Field

from visnet.pipeline.stage import Frozen
from visnet.sampling.blocks import Blocks, Foreign, ragged
from visnet.sampling.crops import SHOP, STREET, Crops
from visnet.sampling.sampled import Asked, Sampled

KINDS = ("street2shop",)
CHUNK = 1 << 20  # candidate slots at work at once
NO_POSITIVE = "its product has no shop photo"
NO_NEGATIVE = "its category has no shop photo of another product"


class Params(Frozen):
    """How many negatives each pair has, of which the triplets are drawn."""

    negatives: int = Field(100, ge=1, le=10_000)


def draw(asked: Asked, params: Params) -> Sampled:
    """Draw as `sample` does."""
    return sample(asked.crops, params.negatives, asked.rng, split=asked.split, limit=asked.count)


def sample(
    crops: Crops, negatives: int, rng: np.random.Generator, *, split: str | None, limit: int | None = None
) -> Sampled:
    """Draw `negatives` shop crops of another product for each pair of a street query and a shop crop of its product.

    The negatives of a pair come from the query's category, and are distinct where that many exist (else drawn with
    repeats). With `limit`, a uniformly random subset of exactly that many of these triplets, at the cost of the subset.
    `skipped` counts the queries without a pair or a negative, `short` their triplets (a query without a pair counts as
    one pair); where `limit` cuts, nothing is short. `ValueError` for an unknown split, `negatives` below 1 or `limit`
    below 0.
    """
    if negatives < 1:
        raise ValueError(f"negatives is {negatives}; allowed is 1 or more")
    if limit is not None and limit < 0:
        raise ValueError(f"limit is {limit}; allowed is 0 or more, or none")
    rows = np.flatnonzero(crops.pool(split))
    asks = crops.queries(split)[rows]
    here = crops.take(rows)
    shop = here.side == SHOP
    queries = np.flatnonzero(asks & (here.side == STREET))

    q, p = _pairs(here, queries, shop)
    blocks = Blocks.of(here.category, here.product, shop)
    foreign = Foreign.of(here)
    pools = foreign.sizes(blocks)
    hopeless = pools[q] == 0
    paired = np.zeros(len(rows), dtype=bool)
    paired[q] = True
    alone = int((~paired[queries]).sum())
    skipped = {NO_POSITIVE: alone, NO_NEGATIVE: int((paired & (pools == 0)).sum())}
    short = {NO_POSITIVE: alone * negatives, NO_NEGATIVE: int(hopeless.sum()) * negatives}

    q, p = q[~hopeless], p[~hopeless]
    slots = np.full(len(q), negatives)
    if limit is not None and limit < len(q) * negatives:
        slots = np.bincount(subset(len(q) * negatives, limit, rng) // negatives, minlength=len(q))
        short = {}
    n = _negatives(q, slots, pools, blocks, foreign, rng)
    triplets = np.stack([np.repeat(q, slots), np.repeat(p, slots), n], axis=1)
    return Sampled(
        rows[triplets[rng.permutation(len(triplets))]],
        np.zeros(len(triplets), dtype=np.int8),
        KINDS,
        {f"{KINDS[0]}: {reason}": many for reason, many in short.items() if many},
        {reason: many for reason, many in skipped.items() if many},
    )


def subset(total: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw distinct numbers below `total`, any subset as likely, int64 [size]; memory grows with `size` only."""
    if total <= 4 * size:
        return rng.permutation(total)[:size]
    found = np.empty(0, dtype=np.int64)
    while len(found) < size:
        found = np.unique(np.append(found, rng.integers(0, total, size - len(found) + 16)))
    return rng.permutation(found)[:size]


def _pairs(here: Crops, queries: np.ndarray, shop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair each query with each shop crop of its product that is on another photo, ([J], [J]) in the queries' order."""
    own = Blocks.of(np.zeros_like(here.product), here.product, shop)  # the part is the product's own shop crops
    many = (own.skip_stop - own.skip_start)[queries]
    q = np.repeat(queries, many)
    p = own.rows[own.skip_start[q] + ragged(many)]
    apart = here.photo[q] != here.photo[p]
    return q[apart], p[apart]


def _negatives(
    q: np.ndarray, slots: np.ndarray, pools: np.ndarray, blocks: Blocks, foreign: Foreign, rng: np.random.Generator
) -> np.ndarray:
    """Draw slots[j] negatives for pair j, of query q[j] and pools[q[j]] candidates, int64 [slots.sum()] in order."""
    first = np.cumsum(slots) - slots
    drawn = np.empty(int(slots.sum()), dtype=np.int64)

    def fill(pairs: np.ndarray, draw: Callable[[np.ndarray, np.ndarray], np.ndarray], cost: np.ndarray) -> None:
        chunk = np.cumsum(cost[pairs]) // CHUNK
        for piece in np.split(pairs, np.flatnonzero(np.diff(chunk)) + 1):
            drawn[np.repeat(first[piece], slots[piece]) + ragged(slots[piece])] = draw(q[piece], slots[piece])

    few = pools[q] < slots
    dense = ~few & (pools[q] < 4 * slots)
    fill(np.flatnonzero(few), lambda q, slots: foreign.draw(blocks, np.repeat(q, slots), rng), slots)
    fill(np.flatnonzero(dense), lambda q, slots: _shuffled(q, slots, blocks, foreign, rng), blocks.sizes()[q])
    fill(np.flatnonzero(~few & ~dense), lambda q, slots: _redrawn(q, slots, blocks, foreign, rng), slots)
    return drawn


def _shuffled(
    q: np.ndarray, slots: np.ndarray, blocks: Blocks, foreign: Foreign, rng: np.random.Generator
) -> np.ndarray:
    """Draw distinct negatives by shuffling each pair's whole pool: for pools not far above the slots."""
    size = blocks.sizes()[q]
    pair = np.repeat(np.arange(len(q)), size)
    candidate = blocks.at(q[pair], ragged(size))
    allowed = ~foreign.bars(q[pair], candidate)
    pair, candidate = pair[allowed], candidate[allowed]
    order = np.lexsort((rng.random(len(pair)), pair))
    place = ragged(np.bincount(pair, minlength=len(q)))
    return candidate[order][place < slots[pair]]


def _redrawn(
    q: np.ndarray, slots: np.ndarray, blocks: Blocks, foreign: Foreign, rng: np.random.Generator
) -> np.ndarray:
    """Draw distinct negatives by redrawing what repeats within a pair: for pools far above the slots."""
    pair = np.repeat(np.arange(len(q)), slots)
    asking = q[pair]
    drawn = np.empty(len(pair), dtype=np.int64)
    bad = work = np.arange(len(pair))  # work: all slots of the pairs that have a bad one
    while bad.size:
        drawn[bad] = blocks.draw(asking[bad], rng)
        order = work[np.argsort(pair[work] * len(blocks.group) + drawn[work], kind="stable")]
        repeats = (pair[order][1:] == pair[order][:-1]) & (drawn[order][1:] == drawn[order][:-1])
        bad = np.union1d(order[1:][repeats], work[foreign.bars(asking[work], drawn[work])])
        work = work[np.isin(pair[work], pair[bad])]
    return drawn
