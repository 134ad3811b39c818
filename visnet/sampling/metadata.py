"""The deep-ranking sampler: triplets from what the catalog says of each photo.

Two sorts of positive (another photo of the same product; another product of the same category and colour) times two of
negative (in-class: another product of the same category; out-of-class: another product of another category).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from visnet.pipeline.stage import Frozen
from visnet.sampling.blocks import Blocks, Foreign
from visnet.sampling.crops import Crops
from visnet.sampling.sampled import Asked, Sampled

MIX = {"product/out": 0.63, "product/in": 0.27, "colour/out": 0.07, "colour/in": 0.03}  # the blog's, without its skips
KINDS = tuple(MIX)
Weight = Annotated[float, Field(ge=0, le=1000)]


class Params(Frozen):
    """Shares of the four kinds: positive by product or colour, negative in or out of class."""

    product_out: Weight = MIX["product/out"]
    product_in: Weight = MIX["product/in"]
    colour_out: Weight = MIX["colour/out"]
    colour_in: Weight = MIX["colour/in"]

    @property
    def mix(self) -> dict[str, float]:
        """The shares by kind."""
        return {kind: getattr(self, kind.replace("/", "_")) for kind in KINDS}

    @model_validator(mode="after")
    def _some(self) -> Self:
        quotas(0, self.mix)
        return self


def draw(asked: Asked, params: Params) -> Sampled:
    """Draw as `sample` does."""
    return sample(asked.crops, asked.count, params.mix, asked.rng, split=asked.split)


def sample(
    crops: Crops, count: int, mix: Mapping[str, float], rng: np.random.Generator, *, split: str | None
) -> Sampled:
    """Draw `count` triplets, each kind with its exact share of `mix` (weights; largest remainder).

    The query is drawn uniformly among the crops that can have such a positive and such a negative, so categories come
    as often as they occur; positive and negative uniformly among what the query allows. A positive is never on the
    query's photo; a crop of another product is never on a photo that shows the query's product; the in-class negative
    of a colour positive has another known colour. A kind without any query is left out, and said in `short`: its share
    goes to no other kind. Triplets may repeat. `split=None` samples the whole table. `ValueError` for an unknown kind
    or split, and for weights or a count that are no such thing.
    """
    wanted = quotas(count, mix)
    rows = np.flatnonzero(crops.pool(split))
    asks = crops.queries(split)[rows]
    halves = _Halves.of(crops.take(rows))
    positives, negatives = halves.positives(), halves.negatives()

    parts: list[np.ndarray] = []
    kinds: list[np.ndarray] = []
    short: dict[str, int] = {}
    for number, (kind, quota) in enumerate(wanted.items()):
        if quota == 0:
            continue
        positive, negative = positives[kind.split("/")[0]], negatives[kind]
        eligible = np.flatnonzero(asks & (positive.sizes > 0) & (negative.sizes > 0))
        if not eligible.size:
            short[f"{kind}: {_reason(asks, positive, negative)}"] = quota
            continue
        q = eligible[rng.integers(0, eligible.size, quota)]
        parts.append(np.stack([q, positive.draw(q, rng), negative.draw(q, rng)], axis=1))
        kinds.append(np.full(quota, number, dtype=np.int8))

    triplets = rows[np.concatenate([np.empty((0, 3), dtype=np.int64), *parts])]
    kind_of = np.concatenate([np.empty(0, dtype=np.int8), *kinds])
    order = rng.permutation(len(triplets))
    needed = {h.name: h for kind, n in wanted.items() if n for h in (positives[kind.split("/")[0]], negatives[kind])}
    skipped = {f"there is no {name}": int((asks & (half.sizes <= 0)).sum()) for name, half in needed.items()}
    return Sampled(triplets[order], kind_of[order], KINDS, short, {name: n for name, n in skipped.items() if n})


def quotas(count: int, mix: Mapping[str, float]) -> dict[str, int]:
    """Share `count` among the kinds by weight, exactly: largest remainder, ties to the kind named first in `KINDS`."""
    unknown = [kind for kind in mix if kind not in KINDS]
    if unknown:
        raise ValueError(f"mix: no kind is called {unknown[0]!r}; allowed are {', '.join(KINDS)}")
    for kind, weight in mix.items():
        if not isfinite(weight) or weight < 0:
            raise ValueError(f"mix: {kind} is {weight}; a weight is a finite number of 0 or more")
    if count < 0:
        raise ValueError(f"count is {count}; allowed is 0 or more")
    weights = {kind: Fraction(str(mix.get(kind, 0))) for kind in KINDS}  # as written: 0.07 is 7/100, not its float
    total = sum(weights.values())
    if total == 0:
        raise ValueError("mix: all weights are 0; at least one kind needs a weight above 0")
    exact = {kind: count * weight / total for kind, weight in weights.items()}
    shares = {kind: int(share) for kind, share in exact.items()}
    by_remainder = sorted(KINDS, key=lambda kind: shares[kind] - exact[kind])
    for kind in by_remainder[: count - sum(shares.values())]:
        shares[kind] += 1
    return shares


@dataclass(frozen=True)
class _Half:
    """One sort of positive or negative: how many candidates each row has, and how to draw one."""

    name: str
    lacking: str  # what holds of the whole pool when no row has a candidate
    blocks: Blocks
    foreign: Foreign | None  # None: another photo of the same product, where arithmetic is all
    sizes: np.ndarray

    def draw(self, asking: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self.foreign.draw(self.blocks, asking, rng) if self.foreign else self.blocks.draw(asking, rng)


@dataclass(frozen=True)
class _Halves:
    crops: Crops
    foreign: Foreign
    known: np.ndarray
    tint: np.ndarray  # category and colour in one code

    @classmethod
    def of(cls, crops: Crops) -> "_Halves":
        tint = crops.category * (crops.colour.max(initial=0) + 2) + crops.colour + 1
        return cls(crops, Foreign.of(crops), crops.colour >= 0, tint)

    def positives(self) -> dict[str, _Half]:
        product = Blocks.of(self.crops.product, self.crops.photo)
        name = "other photo of the product"
        return {
            "product": _Half(name, "no product has two photos", product, None, product.sizes()),
            "colour": self._foreign(
                "other product of its category and colour",
                "no two products share a category and a known colour",
                Blocks.of(self.tint, self.crops.product, self.known),
            ),
        }

    def negatives(self) -> dict[str, _Half]:
        category, product = self.crops.category, self.crops.product
        out = self._foreign(
            "product of another category",
            "no two products have different categories",
            Blocks.of(np.zeros_like(category), category),
        )
        return {
            "product/out": out,
            "colour/out": out,
            "product/in": self._foreign(
                "other product of its category", "no category has two products", Blocks.of(category, product)
            ),
            "colour/in": self._foreign(
                "other product of its category in another colour",
                "no category has two products in two known colours",
                Blocks.of(category, self.tint, self.known),
            ),
        }

    def _foreign(self, name: str, lacking: str, blocks: Blocks) -> _Half:
        return _Half(name, lacking, blocks, self.foreign, self.foreign.sizes(blocks))


def _reason(asks: np.ndarray, positive: _Half, negative: _Half) -> str:
    if not asks.any():
        return "the split has no crop to ask with"
    for half in (positive, negative):
        if not (half.sizes > 0).any():
            return half.lacking
    return f"no query has both, {positive.name} and {negative.name}"
