"""A folder of photos, and nothing else: file names are ids, and the folders above them are products and categories."""

import os
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import Field

from visnet.photos.web import download, locators
from visnet.photos.web.options import FetchOptions
from visnet.photos.web.request import Validators
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Frozen
from visnet.sources.listing import PHOTOS, RECORDS, Answer, Listing

# What photos are called, in any case. Other files are passed over and counted; what the bytes are is seen on reading.
SUFFIXES = (
    *(".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo"),
    *(".png", ".tif", ".tiff", ".webp"),
)
NO_CATEGORY = "all"  # of what no folder gives one


class Params(Frozen):
    """What a folder is: of one product, or of a category."""

    products: Literal["file", "folder"] = Field(
        default="file",
        description="file = each photo is a product; folder = all photos of a folder are one",
    )
    download: FetchOptions = FetchOptions()


def listing(params: Params, metadata: Path, state: Path | None = None) -> Listing:
    """List the photos below the folder `metadata`; hidden files and folders are passed over.

    A photo's id is its path from the folder, a product's that of its file or folder without the suffix, and the
    category is made of the names of the folders above the product. Bytes of a name that are no UTF-8 are written as %XX
    in all of these. `ValueError` when there is no photo, or it is no folder.
    """
    if not metadata.is_dir():
        raise ValueError(f'[raw_images] metadata: {metadata} is a file; the source "folder" wants a folder of photos')
    rows: dict[str, tuple[str, str, str]] = {}  # photo_id -> locator, product_id, category
    dropped = {"not called as photos are": 0, "photo in no product's folder": 0, "name that is written like another": 0}
    for path in files_below(metadata):
        if os.path.splitext(path)[1].lower() not in SUFFIXES:
            dropped["not called as photos are"] += 1
            continue
        parts = path.split("/")
        product = parts[:-1] if params.products == "folder" else [*parts[:-1], os.path.splitext(parts[-1])[0]]
        if not product:
            dropped["photo in no product's folder"] += 1
            continue
        if _text(path) in rows:
            dropped["name that is written like another"] += 1  # a byte, and the %XX for it
            continue
        file = f"{os.path.abspath(metadata)}/{path}"
        locator = file if _is_text(file) else f"file://{urllib.parse.quote_from_bytes(os.fsencode(file))}"
        rows[_text(path)] = locator, _text("/".join(product)), _text("/".join(product[:-1])) or NO_CATEGORY
    dropped = {reason: count for reason, count in dropped.items() if count}
    if not rows:
        found = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "nothing"
        raise ValueError(
            f"[raw_images] metadata: {metadata} holds no photo; found: {found}; photos end in {', '.join(SUFFIXES)}"
        )
    photo_id = pa.array(sorted(rows), pa.string())
    place, product_id, category = zip(*(rows[photo] for photo in sorted(rows)), strict=True)
    photos = pa.table([photo_id, pa.array(place)], schema=PHOTOS)
    shop, plain = (pa.array([word] * len(rows)) for word in ("shop", ""))
    box = [pa.nulls(len(rows), pa.float64())] * 4
    columns = [photo_id, pa.array(product_id), pa.array(category), shop, plain, plain, plain, *box]
    stamps = locators.stamps(photos, os.path.abspath(metadata), params.download.allow_paths)
    return Listing(photos, pa.table(columns, schema=RECORDS), dropped, stamps)


def fetch(
    params: Params,
    wanted: Sequence[tuple[str, str]],
    *,
    metadata: Path,
    log: Log,
    known: Mapping[str, Validators] | None = None,
) -> Iterator[Answer]:
    """Read the photos; every one is answered once, with its bytes or a reason."""
    base = os.path.abspath(metadata)
    return download.fetch(wanted, options=params.download, base=base, known=known, log=log)


def files_below(folder: Path) -> Iterator[str]:
    """Yield the paths of all files from the folder, links to folders followed once, hidden ones left out."""
    seen: set[tuple[int, int]] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in seen:
            folders[:] = []  # a link leads back to it
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield os.path.relpath(os.path.join(root, name), folder)


def _is_text(path: str) -> bool:
    """Whether a path can be written as UTF-8: the system may give any bytes, and Python keeps these as surrogates."""
    return path.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in path)


def _text(path: str) -> str:
    """Write the bytes of a path that are no UTF-8 as %XX; all else stays."""
    if _is_text(path):
        return path
    return "".join(f"%{ord(sign) - 0xDC00:02X}" if "\udc80" <= sign <= "\udcff" else sign for sign in path)
