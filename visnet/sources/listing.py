"""What every source tells: which photos there are, which product each one shows, and what came when asked for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from visnet.photos.web.download import Answer
from visnet.sampling import splits

__all__ = ["PHOTOS", "RECORDS", "SIDES", "SPLITS", "Answer", "Listing"]

SIDES = ("street", "shop")
SPLITS = (*splits.SPLITS, "")  # "" = the crops stage assigns it, by product

# One row per photo. `photo_id` is unique; `locator` says where it is: a URL, an absolute path, a generator's address.
PHOTOS = pa.schema([("photo_id", pa.string()), ("locator", pa.string())])

# One row per photo × product × box. Ids are strings and product ids are unique over the whole source. `category`,
# `colour` and `gender` are plain words, "" when unknown. The box is in pixels of the original photo (upright, as
# `images.decode` gives it) and may reach beyond it; all four null = the whole photo.
RECORDS = pa.schema(
    [
        ("photo_id", pa.string()),
        ("product_id", pa.string()),
        ("category", pa.string()),
        ("side", pa.string()),
        ("split", pa.string()),
        ("colour", pa.string()),
        ("gender", pa.string()),
        ("left", pa.float64()),
        ("top", pa.float64()),
        ("width", pa.float64()),
        ("height", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Listing:
    """All that a source's metadata says.

    photos: rows of `PHOTOS`, one per photo that a record names, each `photo_id` once.
    records: rows of `RECORDS`; every `photo_id` stands in `photos`.
    dropped: reason -> number of metadata records that could not be used for it.
    stamps: photo_id -> what changes when the photo may have changed in its place: when the source speaks of it anew, or
    its file was written again; "" where nothing tells. Such a photo is asked for again, on condition that it changed,
    and all of them are when `ask_again` is raised. Empty = photos never change in place.
    report: counts of the source's own, for the stage's report.
    products: rows of `visnet.sources.product_table.PRODUCTS`, what is shown of a product beside its photos; None where
    the source says nothing of the kind, or keeps a table of it itself.
    """

    photos: pa.Table
    records: pa.Table
    dropped: dict[str, int] = field(default_factory=dict)
    stamps: Mapping[str, str] = field(default_factory=dict)
    report: Mapping[str, int] = field(default_factory=dict)
    products: pa.Table | None = None
