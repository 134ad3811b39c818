"""The layout of Exact Street2Shop: street photos with boxes, matched with the shop's own photos of the same product.

<root>/photos/photos.txt                                            `id,url` per line
<root>/meta/json/{train_pairs,test_pairs,retrieval}_<category>.json lists of {photo, product[, bbox]}
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import Field

from visnet.photos.web import download, locators
from visnet.photos.web.options import FetchOptions
from visnet.photos.web.request import Validators
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Frozen
from visnet.sources.listing import PHOTOS, RECORDS, Answer, Listing
from visnet.sources.rows import text, values

KINDS = {"train_pairs": "train", "test_pairs": "test", "retrieval": "shop"}
BOX = ["left", "top", "width", "height"]
_FILE = re.compile(rf"({'|'.join(KINDS)})_(.+)\.json")


class Params(Frozen):
    """Which categories, and how to ask for the photos."""

    categories: list[str] = Field(default=[], description="names as in the files; empty = all that are there")
    download: FetchOptions = FetchOptions()


def listing(params: Params, metadata: Path, state: Path | None = None) -> Listing:
    """List the photos and records under the root folder `metadata`.

    Street records keep the split of their file; a shop photo is "test" when its product is in test pairs only, else
    "train". Raises `ValueError` for a file that is missing or malformed, and for a category without a usable street or
    shop record.
    """
    table = pairs(metadata, params.categories)
    addresses = _addresses(metadata)
    boxes = table[BOX].to_numpy()
    street = (table["kind"] != "shop").to_numpy()
    faults = {
        "box without left, top, width or height": street & np.isnan(boxes).any(axis=1),
        "box of no size": street & (boxes[:, 2:] <= 0).any(axis=1),
        "photo id not in photos.txt": ~table["photo"].isin(addresses.index).to_numpy(),
        "exact duplicate record": table.duplicated().to_numpy(),
    }
    dropped, kept = {}, np.ones(len(table), bool)
    for reason, faulty in faults.items():
        dropped[reason] = int((kept & faulty).sum())
        kept &= ~faulty
    table = table[kept]
    for category in sorted(set(params.categories) or _categories(metadata)):
        mine = table["category"] == category
        for side, files in (("street", "*_pairs"), ("shop", "retrieval")):
            if not (mine & ((table["kind"] == "shop") == (side == "shop"))).any():
                where = metadata / "meta" / "json" / f"{files}_{category}.json"
                raise ValueError(
                    f"{where}: category {category!r} has no usable {side} record; add some, or leave it out of "
                    "[raw_images.street2shop] categories"
                )

    street = table["kind"] != "shop"
    product_id = table["category"] + "/" + table["product"]
    split_of = table["kind"].where(street)
    test_only = set(product_id[split_of == "test"]) - set(product_id[split_of == "train"])
    shop_split = pd.Series(np.where(product_id.isin(test_only), "test", "train"), index=table.index)
    records = pd.DataFrame(
        {
            "photo_id": table["photo"],
            "product_id": product_id,
            "category": table["category"],
            "side": np.where(street, "street", "shop"),
            "split": table["kind"].where(street, shop_split),
            "colour": "",
            "gender": "",
            **{name: table[name] for name in BOX},
        }
    )
    photo_ids = table["photo"].unique()
    base = locators.start("", metadata)
    given = pa.array(addresses[photo_ids], pa.string())
    photos = pa.table([pa.array(photo_ids, pa.string()), locators.placed(given, base)], schema=PHOTOS)
    return Listing(
        photos,
        pa.Table.from_pandas(records, RECORDS, preserve_index=False).replace_schema_metadata(),
        {reason: count for reason, count in dropped.items() if count},
        locators.stamps(photos, base, params.download.allow_paths),
    )


def fetch(
    params: Params,
    wanted: Sequence[tuple[str, str]],
    *,
    metadata: Path,
    log: Log,
    known: Mapping[str, Validators] | None = None,
) -> Iterator[Answer]:
    """Ask the web for photos, or read them under `metadata`; every one is answered once, with its bytes or a reason."""
    base = locators.start("", metadata)
    return download.fetch(wanted, options=params.download, base=base, known=known, log=log)


def pairs(metadata: Path, categories: Sequence[str] = ()) -> pd.DataFrame:
    """Load the records as they stand, also the faulty ones, without photos.txt.

    Returns columns kind ("train" | "test" | "shop"), category, photo, product (plain ids), left, top, width, height
    (pixels; NaN = not given), in the order of the files. Raises `ValueError` naming file, record and field.
    """
    known = _categories(metadata)
    if unknown := sorted(set(categories) - set(known)):
        raise ValueError(f"{metadata}: no category {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    parts = []
    for category in sorted(set(categories) or known):
        for prefix, kind in KINDS.items():
            part = _load(metadata / "meta" / "json" / f"{prefix}_{category}.json", boxed=kind != "shop")
            part.insert(0, "kind", kind)
            part.insert(1, "category", category)
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _categories(metadata: Path) -> set[str]:
    folder = metadata / "meta" / "json"
    if not metadata.is_dir():
        raise ValueError(f"[raw_images] metadata: {metadata} is no folder; the root of a Street2Shop layout is wanted")
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; a Street2Shop root has meta/json/{{{','.join(KINDS)}}}_*.json")
    found = {match[2] for path in folder.iterdir() if (match := _FILE.fullmatch(path.name))}
    if not found:
        raise ValueError(f"{folder}: no file {{{','.join(KINDS)}}}_<category>.json in it")
    return found


def _load(path: Path, *, boxed: bool) -> pd.DataFrame:
    if not path.exists():
        raise ValueError(f"{path}: no such file; a category needs all of {', '.join(KINDS)}")
    try:
        rows = json.loads(path.read_bytes(), parse_constant=_no_number)
    except RecursionError:
        raise ValueError(f"{path}: not JSON: too many brackets within each other") from None
    except ValueError as error:  # not JSON, or not UTF-8
        raise ValueError(f"{path}: not JSON: {error}") from None
    if not isinstance(rows, list):
        raise ValueError(f"{path}: a list of records is wanted, not {type(rows).__name__}")
    columns: dict[str, list[Any]] = {name: [] for name in ("photo", "product", *BOX)}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ValueError(f"{path}: record {number}: an object is wanted, not {row!r:.60}")
        for name in ("photo", "product"):
            columns[name].append(_id(row.get(name), f"{path}: record {number}: {name}"))
        box = (row.get("bbox") if boxed else None) or {}
        if not isinstance(box, dict):
            raise ValueError(f"{path}: record {number}: bbox: {{left, top, width, height}} is wanted, not {box!r:.60}")
        for name in BOX:
            columns[name].append(_number(box.get(name), f"{path}: record {number}: bbox.{name}"))
    types = {"photo": "str", "product": "str", **dict.fromkeys(BOX, "float64")}
    return pd.DataFrame(columns).astype(types)


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number")  # NaN, Infinity: Python alone reads them


def _id(value: object, where: str) -> str:
    """Return an id without leading zeros, as both files can then be matched."""
    try:
        number = values.whole(value, where)
    except values.Bad:
        number = None
    if number is None or number < 0:
        raise ValueError(f"{where}: a whole number is wanted, not {value!r:.60}")
    return str(number)


def _number(value: object, where: str) -> float:
    try:
        number = values.number(value, where)
    except values.Bad:
        raise ValueError(f"{where}: a number of pixels is wanted, not {value!r:.60}") from None
    return float("nan") if number is None else number


def _addresses(metadata: Path) -> pd.Series:
    """Read photos.txt: photo id without zeros -> address; of several lines for one id the last one counts."""
    path = metadata / "photos" / "photos.txt"
    if not path.exists():
        raise ValueError(f"{path}: no such file; it says where each photo is, as `id,url` lines")
    found = {}
    try:
        with text.opened(path) as file:
            for number, (line, whole) in enumerate(text.lines(file), 1):
                if whole and line.isspace():
                    continue
                photo, _, address = line.partition(",")  # the first comma only: addresses have commas of their own
                address = address.strip()
                if not whole or not address or not photo.strip():
                    raise ValueError(f"{path}: line {number}: `id,url` is wanted, not {line.strip()!r:.80}")
                if not text.is_utf8(line):
                    raise ValueError(f"{path}: not UTF-8 text: line {number}; {text.CURE}")
                found[_id(photo, f"{path}: line {number}: id")] = address
    except text.Unreadable as error:
        raise ValueError(f"{path}: cannot be read: {error}") from None
    return pd.Series(found, dtype="str")
