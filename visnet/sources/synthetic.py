"""The embedded default: a small fashion shop, generated.

Products differ in silhouette, cut, colour and pattern; look-alikes differ in one detail only. Every photo's bytes
follow from the parameters and its id, so nothing is stored and nothing is lost. `visnet.synthetic` draws it.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import pyarrow as pa
from pydantic import AfterValidator, Field

from visnet.pipeline.log import Log
from visnet.pipeline.stage import Frozen, Seed
from visnet.sources.listing import PHOTOS, RECORDS, Answer, Listing
from visnet.synthetic import VERSION
from visnet.synthetic.assortment import LEAST, SHARES, Recipe, headcounts, splits, stock
from visnet.synthetic.painter import painted
from visnet.synthetic.scenes import photo_id, scene
from visnet.synthetic.seeds import generator


def _range(value: list[int]) -> list[int]:
    if len(value) != 2 or not 1 <= value[0] <= value[1] <= 20:
        raise ValueError("must be [least, most] with 1 <= least <= most <= 20")
    return value


Range = Annotated[list[int], AfterValidator(_range)]
_ALONE = 96  # so few photos are painted before another process has started


class Params(Frozen):
    """What kind of shop it is."""

    products: int = Field(440, ge=LEAST * len(SHARES), le=50_000)  # of all eleven categories together
    shop_photos: Range = Field([2, 4])  # least and most per product
    street_photos: Range = Field([1, 3])
    side_px: int = Field(160, ge=64, le=1024)  # a shop photo's side; a street photo is half as long again
    seed: Seed = 7
    test_share: float = Field(0.3, ge=0.05, le=0.8)  # of the products
    look_alikes: float = Field(0.5, ge=0, le=1)  # share of products that stand in a family differing in one detail


def _recipe(params: Params) -> Recipe:
    return Recipe(params.seed, params.side_px, params.look_alikes)


def _address(recipe: Recipe) -> str:
    # Only what changes the bytes: a shop that grows, or takes more photos, keeps the locators of those it had.
    digest = hashlib.sha256(f"{VERSION} {recipe}".encode()).hexdigest()[:16]
    return f"synthetic:{digest}"


def listing(params: Params, metadata: Path, state: Path | None = None) -> Listing:
    """List the shop's photos and what each shows; `metadata` is not read, the generator is its own description."""
    recipe = _recipe(params)
    rows: list[tuple[str | float | None, ...]] = []
    for category, count in headcounts(params.products).items():
        shelf = stock(recipe, category, count)
        for product, split in zip(shelf, splits(recipe, category, count, params.test_share), strict=True):
            for side, (least, most) in (("shop", params.shop_photos), ("street", params.street_photos)):
                number = int(generator("photos", params.seed, product.product_id, side).integers(least, most + 1))
                for i in range(1, number + 1):
                    name = photo_id(product.product_id, side, i)
                    box = scene(recipe, name).box if side == "street" else (None,) * 4
                    facts = (product.product_id, category, side, split, product.look["colour"], product.gender)
                    rows.append((name, *facts, *box))
    records = pa.table([list(column) for column in zip(*rows, strict=True)], schema=RECORDS)
    names = records["photo_id"].to_pylist()
    photos = pa.table([names, [f"{_address(recipe)}/{name}" for name in names]], schema=PHOTOS)
    return Listing(photos, records)


def fetch(
    params: Params,
    wanted: Sequence[tuple[str, str]],
    *,
    metadata: Path,
    log: Log,
    processes: int | None = None,
) -> Iterator[Answer]:
    """Paint the wanted photos, lazily and in order; `wanted` are pairs (photo_id, locator).

    processes: that paint, 0 for this one; None for what suits the machine and the number of photos. Errors:
    `ValueError` when a locator belongs to other parameters than these.
    """
    recipe = _recipe(params)
    for name, locator in wanted:
        if locator != f"{_address(recipe)}/{name}":
            raise ValueError(
                f"{locator!r} is no photo of this shop; its own start with {_address(recipe)}/ (list again)"
            )
    names = [name for name, _ in wanted]
    if processes is None:
        processes = min(os.cpu_count() or 1, 8) if len(names) > _ALONE else 0
    for name, data in zip(names, painted(recipe, names, processes), strict=True):
        yield Answer(name, data, None)
