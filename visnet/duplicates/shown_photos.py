"""The photos of the shop that are held against each other: their keys, their hashes, and what has changed of them."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from visnet.duplicates.candidates import Hashes
from visnet.duplicates.views import SIDE_PX, VIEWS, hashes
from visnet.embedding.crop_dataset import CropImages
from visnet.embedding.vectors import Vectors
from visnet.photos.cutting import BOX
from visnet.photos.keys import photo_keys
from visnet.pipeline.log import Log
from visnet.storage.fingerprints import HASH_COLUMNS, fingerprint
from visnet.storage.table import Table

HASHED_AT_ONCE = 512
HASHED = pa.schema(
    [
        ("crop_id", pa.string()),
        ("product_id", pa.string()),
        ("category", pa.string()),
        ("key", pa.string()),  # `photo_key`
        ("hashes", pa.binary(8 * len(VIEWS))),  # of all views, the whole photo first
        *HASH_COLUMNS,
    ]
)


def shop_photos(
    raw_images: Path, crops: Path, vectors: Vectors, made: str, without: Collection[str] = ()
) -> pd.DataFrame:
    """List the shop's photos with their keys, sorted by crop_id as `vectors` are, which are of these; `made`: how.

    without: crops that are left out.
    """
    columns = ["crop_id", "photo_id", "product_id", "category", *BOX, "content"]
    rows = Table(crops / "crops.lance").read(columns, "lost IS NULL AND side = 'shop'").to_pandas()
    rows = rows[~rows["crop_id"].isin(without)].reset_index(drop=True)
    rows["key"] = photo_keys(raw_images, rows)
    rows = rows.sort_values("crop_id", ignore_index=True)
    seen = pd.Series(vectors.rows["source"].tolist(), index=vectors.rows["crop_id"].tolist())
    embedded = seen.reindex(rows["crop_id"])
    if embedded.isna().any():
        raise ValueError(
            f"{int(embedded.isna().sum())} of {len(rows)} photos have no vector; run `dvc repro catalog_embeddings`"
        )
    parts = zip(rows["content"], rows["key"], embedded, vectors_of(vectors, rows["crop_id"]), strict=True)
    rows["source"] = [fingerprint(made, *part) for part in parts]
    return rows


def vectors_of(vectors: Vectors, crop_ids: pd.Series) -> list[str]:
    """Return what the vectors of photos are, by the hashes that their table has of them."""
    found = pd.Series(vectors.rows["content"].tolist(), index=vectors.rows["crop_id"].tolist())
    return [str(one) for one in found.reindex(crop_ids)]


def hash_all(path: Path, crop_ids: list[str], log: Log) -> Hashes:
    """Hash photos of the table of crops at `path`, uint64 [N, V]."""
    pictures = CropImages(path, crop_ids, SIDE_PX, keep=False)
    found = [np.empty((0, len(VIEWS)), np.uint64)]
    with log.progress("hashes", len(crop_ids), unit="photo") as progress:
        for first in range(0, len(crop_ids), HASHED_AT_ONCE):
            some = range(first, min(first + HASHED_AT_ONCE, len(crop_ids)))
            found.append(hashes(pictures.__getitems__(some)))
            progress.advance(len(some))
    return np.concatenate(found)


def hashed_rows(photos: pd.DataFrame, found: Hashes) -> pa.Table:
    """Make the rows of photos [N] whose hashes are [N, V]."""
    columns = {name: pa.array(photos[name], pa.string()) for name in ("crop_id", "product_id", "category", "key")}
    raw = [one.tobytes() for one in np.ascontiguousarray(found)]
    columns |= {"hashes": pa.array(raw, HASHED.field("hashes").type), "source": pa.array(photos["source"], pa.string())}
    columns["content"] = pa.array([fingerprint(*two) for two in zip(photos["source"], raw, strict=True)], pa.string())
    return pa.table(columns, schema=HASHED)


def hashes_of(table: pa.Table) -> Hashes:
    """Return the hashes of rows, [N, V]."""
    return np.array([np.frombuffer(one, np.uint64) for one in table["hashes"].to_pylist()]).reshape(-1, len(VIEWS))
