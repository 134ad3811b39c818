"""Galleries that are made as a version is published, so that each process which serves it only maps them.

They are no part of the version, which is complete without: one that is missing, or that other sources made, is read
from the version's tables. They stand beside the versions, of what is served and what was or will be alone, since each
takes as much room as all vectors.
"""

import functools
import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from visnet.embedding.vectors import Vectors
from visnet.serving import versions
from visnet.serving.catalog import Serving
from visnet.serving.columns.entries import Entries
from visnet.serving.columns.table import read_table
from visnet.serving.photo_facts import PhotoFacts
from visnet.serving.product_rows import ProductRows
from visnet.serving.shop_gallery import ShopGallery
from visnet.serving.told_categories import told_categories
from visnet.storage import atomic

OF = "of.json"  # the parts that a gallery was made of, and by which sources
PARTS = ("catalog", "embeddings", "crops", "knn", "told_categories")
HERE = Path(__file__).parent
MODULES = ("photo_facts", "product_rows", "shop_gallery")
SOURCES = (*(HERE / f"{name}.py" for name in MODULES), *(HERE / "columns").glob("*.py"))
TOLD = "told_categories.lance"
Part = TypeVar("Part")
log = logging.getLogger("visnet.serving")


def place(publish: Path, number: int) -> Path:
    """Return the folder of a version's gallery."""
    return publish / "galleries" / f"{number:06d}"


def prepare(
    publish: Path, number: int, building: Path, parts: Mapping[str, str], vectors: Vectors | None = None
) -> None:
    """Make the gallery of a version that is about to be completed; those of versions that nobody opens any more go.

    building: the folder of its tables. parts: their digests. vectors: its embeddings, if they are at hand.
    """
    into = place(publish, number)
    into.parent.mkdir(exist_ok=True)
    atomic.clean(into.parent, atomic.BUILDING)
    kept = {place(publish, one).name for one in (versions.current(publish), versions.waiting(publish)) if one}
    for old in into.parent.iterdir():
        if old.name not in kept:
            atomic.remove(old)
    made = into.with_name(f".{into.name}{atomic.BUILDING}")
    made.mkdir()
    try:
        told = told_categories(building / TOLD if "told_categories" in parts else None)
        shop = ShopGallery.read(building, told) if vectors is None else ShopGallery.of(vectors, told)
        shop.save(made)
        PhotoFacts.read(building, shop.said["crop_id"], shop.products).save(made)
        Entries.read(shop.said, shop.products, read_table(building / "catalog.lance")).save(made)
        (made / OF).write_text(json.dumps(_of(parts)) + "\n", encoding="utf-8")
        for path in made.iterdir():
            atomic.sync(path)
        atomic.sync(made)
        atomic.replace(into, made)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def of_version(version: Serving) -> ShopGallery:
    """Map the gallery of a version that is held open, or read it from its tables where there is none to be used."""
    told = told_categories(version.told_categories)
    found = _opened(version, lambda folder: ShopGallery.open(folder, told))
    return ShopGallery.read(version.folder, told) if found is None else found


def photos_of(version: Serving, crop_id: np.ndarray, products: ProductRows) -> PhotoFacts:
    """Map what is said of the photos of a version's gallery, or read it, likewise; crop_id: of each, [G] object."""
    found = _opened(version, lambda folder: PhotoFacts.open(folder, len(crop_id), products.count))
    return PhotoFacts.read(version.folder, crop_id, products) if found is None else found


def columns_of(version: Serving, shop: ShopGallery, table: pa.Table | None) -> Entries:
    """Map the columns of the products of a version's gallery, or make them of the catalog's `table`, likewise."""
    found = _opened(version, lambda folder: Entries.open(folder, len(shop.said["crop_id"])))
    return Entries.read(shop.said, shop.products, table) if found is None else found


def _opened(version: Serving, open_: Callable[[Path], Part]) -> Part | None:
    folder = place(version.folder.parent.parent, version.number)
    try:
        if json.loads((folder / OF).read_text(encoding="utf-8")) == _of(version.facts()["parts"]):
            return open_(folder)
    except FileNotFoundError:
        pass  # it was never made, or goes just now
    except (ValueError, OSError, KeyError) as error:
        log.warning("version %d is read from its tables: %s", version.number, str(error))
    return None


def _of(parts: Mapping[str, str]) -> dict[str, str]:
    return {"sources": _sources(), **{name: parts[name] for name in PARTS if name in parts}}


@functools.cache
def _sources() -> str:
    """Name what the files mean, by the modules that write and read them: 32 hex digits."""
    whole = hashlib.sha256()
    for path in sorted(SOURCES):
        whole.update(path.read_bytes())
    return whole.hexdigest()[:32]
