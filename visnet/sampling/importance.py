"""Deep Ranking's online importance sampling (Wang et al., CVPR 2014): weighted reservoirs, one buffer per category."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from pydantic import Field
from torch import Tensor

from visnet.pipeline.stage import Frozen, Share
from visnet.sampling.blocks import Blocks, Foreign
from visnet.sampling.crops import Crops
from visnet.sampling.relevance import Relevance
from visnet.sampling.reservoirs import Buffers, weighted
from visnet.sampling.sampled import Asked, Sampled
from visnet.sampling.scorers import check_descriptors

KINDS = ("importance/in", "importance/out")
ARRIVALS = 512  # crops that stream by between two draws
FEW = 1000  # a smaller pool streams by as if it were of that size


class Params(Frozen):
    """Deep Ranking's buffers: crops held per category, the out-of-class share, the relevance's cap and its gap."""

    buffer: int = Field(200, ge=2, le=1_000_000)
    out_of_class: Share = 0.2
    relevance_cap: float = Field(0.9, gt=0, le=1)
    relevance_gap: Share = 0.1


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
    buffer: int = 200,
    out_of_class: float = 0.2,
    relevance_cap: float = 0.9,
    relevance_gap: float = 0.1,
    tries: int = 10,
) -> Sampled:
    """Draw `count` triplets from a stream of crops, the share `out_of_class` of them with such a negative.

    descriptors: scorer -> [N, D], a row per crop, for the relevance r (`relevance.Relevance`). The pool streams by in
    random order (several times for many triplets), and each category has a buffer of `buffer` crops: crop j comes with
    the key u^(1 / r_j), r_j its total relevance, and replaces the smallest key. Triplets are drawn while the second
    half streams by. A triplet's category is as likely as queries are in it; its query is uniform in the buffer; its
    positive p has probability min(relevance_cap, r_qp) / Z, for which a buffered crop counts by the inverse of its
    chance to be there (`reservoirs.Buffers`; Deep Ranking divides by r_p, to which that comes for small buffers). The
    in-class negative n is drawn as the positive is, among other products with r_qp − r_qn >= relevance_gap; the
    out-of-class one uniformly from the other buffers. No negative is on a photo that shows the query's product.

    What has no positive or negative in the buffers is drawn anew, query and all, up to `tries` times, and is then given
    up; `short` counts these. `split=None` samples the whole table. `ValueError` for an unknown split, and for
    descriptors or numbers that are no such thing.
    """
    check_descriptors(crops, descriptors)
    _check(count, buffer, out_of_class, relevance_cap, relevance_gap, tries)
    rows = np.flatnonzero(crops.pool(split))
    asks = crops.queries(split)[rows]
    here = crops.take(rows)
    foreign = Foreign.of(here)
    needs = {
        "no other photo in its category": Blocks.of(here.category, here.photo).sizes() > 0,
        "no other product in its category": foreign.sizes(Blocks.of(here.category, here.product)) > 0,
        "no product of another category": foreign.sizes(Blocks.of(np.zeros_like(here.category), here.category)) > 0,
    }
    photo, inside, outside = needs.values()
    eligible = [np.flatnonzero(asks & photo & inside), np.flatnonzero(asks & photo & outside)]
    beyond = int(count * Fraction(str(out_of_class)) + Fraction(1, 2))
    quotas = (count - beyond, beyond)
    used = {name: has for name, has, quota in zip(needs, needs.values(), (count, *quotas), strict=True) if quota}
    skipped = {f"there is {name}": int((asks & ~has).sum()) for name, has in used.items()}

    short = {
        f"{KINDS[number]}: {_reason(asks, photo, (inside, outside)[number])}": quota
        for number, quota in enumerate(quotas)
        if quota and not eligible[number].size
    }
    kinds = np.repeat(np.arange(2, dtype=np.int8), [q if e.size else 0 for q, e in zip(quotas, eligible, strict=True)])
    kinds = rng.permutation(kinds)
    triplets = np.full((len(kinds), 3), -1, dtype=np.int64)
    if len(kinds):
        relevance = Relevance.of(here, {name: d[rows] for name, d in descriptors.items()}, rng)
        stream = _Stream(here, foreign, relevance, relevance.totals(rng), eligible, (relevance_cap, relevance_gap))
        stream.fill(triplets, kinds, buffer, tries, rng)
    had = triplets[:, 0] >= 0
    for number, given_up in enumerate(np.bincount(kinds[~had], minlength=2).tolist()):
        if given_up:
            short[f"{KINDS[number]}: given up, {tries} times the buffers held no positive with a negative"] = given_up
    return Sampled(rows[triplets[had]], kinds[had], KINDS, short, {why: n for why, n in skipped.items() if n})


@dataclass
class _Stream:
    crops: Crops
    foreign: Foreign
    relevance: Relevance
    total: np.ndarray
    eligible: list[np.ndarray]  # queries of each kind
    limits: tuple[float, float]  # cap and gap

    def fill(self, triplets: np.ndarray, kinds: np.ndarray, size: int, tries: int, rng: np.random.Generator) -> None:
        """Stream the pool by and draw, for each of `kinds` [T], a triplet into `triplets` [T, 3]."""
        many = len(self.total)
        passes = -(-len(kinds) // max(many, FEW))
        for share in np.array_split(np.arange(len(kinds)), passes):
            buffers = Buffers(size, self.crops.category, self.total)
            order = rng.permutation(many)
            buffers.offer(order[: many // 2], rng)
            chunks = np.array_split(order[many // 2 :], -(-many // (2 * ARRIVALS)))
            for arriving, slots in zip(chunks, np.array_split(share, len(chunks)), strict=True):
                buffers.offer(arriving, rng)
                for _ in range(tries):
                    if not slots.size:
                        break
                    triplets[slots] = self._draw(buffers, kinds[slots], rng)
                    slots = slots[triplets[slots, 0] < 0]

    def _draw(self, buffers: Buffers, kinds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Try once to draw a triplet of each kind, [T, 3]; −1 where that failed."""
        drawn = np.full((len(kinds), 3), -1, dtype=np.int64)
        category = np.empty(len(kinds), dtype=np.int64)
        for kind, queries in enumerate(self.eligible):
            of_kind = np.flatnonzero(kinds == kind)
            if of_kind.size:
                category[of_kind] = self.crops.category[queries[rng.integers(0, queries.size, of_kind.size)]]
        group = category * 2 + kinds
        for slots in np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1]):
            if slots.size:
                drawn[slots] = self._from(buffers, int(category[slots[0]]), int(kinds[slots[0]]), slots.size, rng)
        return drawn

    def _from(self, buffers: Buffers, category: int, kind: int, count: int, rng: np.random.Generator) -> np.ndarray:
        held = buffers.held(category)
        asking = held[np.isin(held, self.eligible[kind])]
        if not asking.size:
            return np.full((count, 3), -1)
        q = asking[rng.integers(0, asking.size, count)]
        cap, gap = self.limits
        r = self.relevance.between(q, held)
        weight = np.minimum(cap, r) / buffers.chance(category)
        positive = weighted(weight, rng)
        p = held[positive]
        if kind == 0:
            lower = r <= r[np.arange(count), positive][:, None] - gap
            lower[np.arange(count), positive] = False
            apart = ~self.foreign.bars(np.repeat(q, held.size), np.tile(held, count)).reshape(r.shape)
            negative = weighted(weight * (lower & apart), rng)
            n, fits = held[negative], negative >= 0
        else:
            elsewhere = np.delete(buffers.rows, slice(buffers.start[category], buffers.start[category + 1]))
            if not elsewhere.size:
                return np.full((count, 3), -1)
            n = elsewhere[rng.integers(0, elsewhere.size, count)]
            fits = ~self.foreign.bars(q, n)
        return np.where((fits & (positive >= 0))[:, None], np.stack([q, p, n], axis=1), -1)


def _reason(asks: np.ndarray, photo: np.ndarray, negative: np.ndarray) -> str:
    if not asks.any():
        return "the split has no crop to ask with"
    if not photo.any():
        return "no category has two photos"
    if not negative.any():
        return "no crop has a negative in the pool"
    return "no query has both, a positive and a negative"


def _check(count: int, buffer: int, out_of_class: float, cap: float, gap: float, tries: int) -> None:
    if count < 0:
        raise ValueError(f"count is {count}; allowed is 0 or more")
    for name, number, least in (("buffer", buffer, 2), ("tries", tries, 1)):
        if number < least:
            raise ValueError(f"{name} is {number}; allowed is {least} or more")
    for name, share in (("out_of_class", out_of_class), ("relevance_gap", gap)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} is {share}; allowed is 0 to 1")
    if not 0 < cap <= 1:
        raise ValueError(f"relevance_cap is {cap}; allowed is above 0, up to 1")
