"""The data set file of Atlas (Umaashankar, Girish, Shanmuga 2019): photos with their category's path down a taxonomy.

One JSON object: {"images": [{"filename", "title", "sentences": [{"tokens": [level, …, leaf]}], "image_url", "split"}]}.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
from pydantic import Field

from visnet.photos.web import download, locators
from visnet.photos.web.options import FetchOptions
from visnet.photos.web.request import Validators
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Frozen
from visnet.sources.listing import PHOTOS, RECORDS, Answer, Listing
from visnet.taxonomy import paths

SPLITS = {"train": "train", "restval": "train", "val": "validation", "test": "test"}
SHOWN = 60  # characters of a value that a refusal quotes


class Params(Frozen):
    """Where the photos are, and what is one product.

    A record without the one place is asked for at the other. Several views of a product are in Atlas under one title;
    its own splits put such views on both sides.
    """

    photos: Literal["url", "file"] = Field(default="url", description="url = image_url; file = filename below `images`")
    images: str = Field(default=".", description="folder of the photos' files, from the JSON file's folder")
    products: Literal["file", "title"] = Field(
        default="file", description="file = each photo is a product; title = the photos of a path and title are one"
    )
    splits: Literal["file", "drawn"] = Field(
        default="file", description="file = as it says, and where it has no test, val is that; drawn = by crops"
    )
    download: FetchOptions = FetchOptions()


def listing(params: Params, metadata: Path, state: Path | None = None) -> Listing:
    """List the photos of the file `metadata`; a photo's id is its file name, its category the whole path.

    So that a leaf's name under two parents is two categories. Of records with one file name the first counts.
    `ValueError` names record and field of what is no such file.
    """
    table = _records(metadata)
    dropped = {"file name that another record has": int(table["filename"].duplicated().sum())}
    table = table.drop_duplicates("filename").reset_index(drop=True)
    first, second = ("image_url", "filename") if params.photos == "url" else ("filename", "image_url")
    place = table[first].where(table[first] != "", table[second])
    stem = table["filename"].str.replace(r"\.[^./]*$", "", regex=True)
    titled = (table["title"] != "") & (params.products == "title")
    split = table["split"].map(SPLITS)
    if params.splits == "drawn":
        split = pd.Series("", table.index)
    elif not (split == "test").any():
        split = split.replace("validation", "test")
    base = locators.start(params.images, metadata.parent)
    photo_id = pa.array(table["filename"], pa.string())
    photos = pa.table([photo_id, locators.placed(pa.array(place, pa.string()), base)], schema=PHOTOS)
    columns = {
        "photo_id": photo_id,
        "product_id": pa.array(stem.where(~titled, table["category"] + ": " + table["title"]), pa.string()),
        "category": pa.array(table["category"], pa.string()),
        "side": pa.array(["shop"] * len(table)),
        "split": pa.array(split, pa.string()),
        **dict.fromkeys(("colour", "gender"), pa.array([""] * len(table))),
        **dict.fromkeys(("left", "top", "width", "height"), pa.nulls(len(table), pa.float64())),
    }
    stamps = locators.stamps(photos, base, params.download.allow_paths)
    return Listing(
        photos, pa.table(columns, schema=RECORDS), {why: count for why, count in dropped.items() if count}, stamps
    )


def fetch(
    params: Params,
    wanted: Sequence[tuple[str, str]],
    *,
    metadata: Path,
    log: Log,
    known: Mapping[str, Validators] | None = None,
) -> Iterator[Answer]:
    """Ask the web for photos, or read their files; every one is answered once, with its bytes or a reason."""
    base = locators.start(params.images, metadata.parent)
    return download.fetch(wanted, options=params.download, base=base, known=known, log=log)


def is_dataset(path: Path) -> bool:
    """Tell whether a file begins as one of these does."""
    with path.open("rb") as file:
        head = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    return head.startswith(b"{") and b'"images"' in head


def _records(metadata: Path) -> pd.DataFrame:
    """Read the records: filename, title, category, image_url and split, all texts."""
    if metadata.is_dir():
        raise ValueError(f'[raw_images] metadata: {metadata} is a folder; the source "atlas" wants its JSON file')
    try:
        whole = json.loads(metadata.read_bytes())
    except RecursionError:
        raise ValueError(f"{metadata}: not JSON: too many brackets within each other") from None
    except ValueError as error:  # not JSON, or not UTF-8
        raise ValueError(f"{metadata}: not JSON: {error}") from None
    images = whole.get("images") if isinstance(whole, dict) else None
    if not isinstance(images, list):
        found = "an object without it" if isinstance(whole, dict) else f"a {type(whole).__name__}"
        raise ValueError(f'{metadata}: an object with a list "images" is wanted, not {found}')
    return pd.DataFrame(
        [_record(one, f"{metadata}: record {number}") for number, one in enumerate(images, 1)],
        columns=["filename", "title", "category", "image_url", "split"],
        dtype="str",
    )


def _record(one: Any, where: str) -> tuple[str, str, str, str, str]:
    if not isinstance(one, dict):
        raise ValueError(f"{where}: an object is wanted, not {one!r:.{SHOWN}}")
    filename = _text(one, "filename", where)
    if not filename:
        raise ValueError(f"{where}: filename: empty; the photo's file is wanted")
    split = _text(one, "split", where) or "train"
    if split not in SPLITS:
        raise ValueError(f"{where}: split: {' | '.join(SPLITS)} is allowed, not {split!r:.{SHOWN}}")
    return filename, _text(one, "title", where), _path(one, where), _text(one, "image_url", where), split


def _path(one: dict[str, Any], where: str) -> str:
    sentences = one.get("sentences")
    sentence = sentences[0] if isinstance(sentences, list) and sentences else None
    tokens = sentence.get("tokens") if isinstance(sentence, dict) else None
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise ValueError(f"{where}: sentences: [{{tokens: [level, …, leaf]}}] is wanted, not {sentences!r:.{SHOWN}}")
    levels = [" ".join(token.split()) for token in tokens]
    if not levels or not all(levels):
        raise ValueError(f"{where}: sentences: the path has {'no level' if not levels else 'a level without a name'}")
    return paths.joined(levels)


def _text(one: dict[str, Any], name: str, where: str) -> str:
    value = one.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{where}: {name}: a text is wanted, not {value!r:.{SHOWN}}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{where}: {name}: half a character, {value!a:.{SHOWN}}") from None
    return " ".join(value.split())
