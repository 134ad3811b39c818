"""What was found of a shop: the source that reads it, the source's parameters, and counts of what that source lists."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from visnet.sampling.splits import Shares, assign_splits
from visnet.sources import SOURCES, Listing


@dataclass(frozen=True)
class Counts:
    """What a listing holds.

    paired: street photos whose product has a shop photo; several: products with two photos or more; lone_categories:
    those with shop photos of fewer than two products, in which nothing can be told apart; remote: photos with an
    address; shared: products whose photos the source puts into two splits; depth: levels of the deepest category;
    in_paths: photos whose category is a path of two levels or more; product_ids: (category, product_id).
    """

    photos: int
    products: int
    categories: int
    street: int
    paired: int
    several: int
    colours: int
    lone_categories: int
    remote: int
    shared: int
    depth: int
    in_paths: int
    dropped: Mapping[str, int]
    product_ids: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Inspected:
    """A source, where its description is, its own table of parameters, and why it was read so.

    target: what was looked at, as it was named. counts: None of a feed, of which nothing is here yet. found: lines for
    whoever asked, name and text.
    """

    target: str
    source: str
    metadata: Path
    own: Mapping[str, Any]
    counts: Counts | None
    notes: tuple[str, ...] = ()
    found: tuple[tuple[str, str], ...] = field(default=())


def listed(source: str, own: Mapping[str, Any], metadata: Path, state: Path | None = None) -> Listing:
    """List what the source finds with these parameters; `ValueError` when it finds nothing that can be used.

    state: a folder for a source that must remember.
    """
    module = SOURCES[source]
    listing: Listing = module.listing(module.Params.model_validate(dict(own)), metadata, state)
    return listing


def counts(listing: Listing) -> Counts:
    """Count what a listing holds; `ValueError` when no photo is the shop's."""
    rows = listing.records.to_pandas()
    shop, street = rows[rows["side"] == "shop"], rows[rows["side"] == "street"]
    if shop.empty:
        raise ValueError("every photo is a street photo; a catalog is searched for its shop photos, and has none")
    found = street.loc[street["product_id"].isin(set(shop["product_id"])), "photo_id"]
    in_category = shop.groupby("category")["product_id"].nunique()
    lone = sum(in_category.get(category, 0) < 2 for category in rows["category"].unique())
    remote = pc.match_substring_regex(listing.photos["locator"], r"^\s*(https?:)?//")
    levels = rows["category"].str.count("/") + 1
    return Counts(
        photos=listing.photos.num_rows,
        products=rows["product_id"].nunique(),
        categories=rows["category"].nunique(),
        street=street["photo_id"].nunique(),
        paired=found.nunique(),
        several=int((rows.groupby("product_id")["photo_id"].nunique() > 1).sum()),
        colours=rows.loc[rows["colour"] != "", "colour"].nunique(),
        lone_categories=lone,
        remote=pc.sum(remote).as_py() or 0,
        shared=len(assign_splits(rows, Shares(0.1, 0.2, 1))[1]),
        depth=int(levels.max()),
        in_paths=int(rows.loc[levels > 1, "photo_id"].nunique()),
        dropped=listing.dropped,
        product_ids=frozenset(zip(shop["category"], shop["product_id"], strict=True)),
    )


def listed_names(names: list[str], most: int = 30) -> str:
    """Write names in one line, of which there may be too many and too long ones."""
    shown = [name if len(name) <= 40 else f"{name[:40]}…" for name in names[:most]]
    return ", ".join([*shown, *[f"and {len(names) - most} more"] * (len(names) > most)])
