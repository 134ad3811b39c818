"""A change feed: a folder of batches, each a file of records that say what was added, changed and removed."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ConfigDict, Field, field_validator

from visnet.photos.web import download, locators
from visnet.photos.web.options import FetchOptions
from visnet.photos.web.request import Validators
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Frozen
from visnet.sources.changefeed.records import SEQ_MAX, Limits
from visnet.sources.changefeed.state import fold
from visnet.sources.listing import PHOTOS, RECORDS, Answer, Listing
from visnet.storage.table import Table

KEEPS_PRODUCTS = True  # in a table of its own, `catalog.lance`
_FACTS = ("category", "colour", "gender", "split")


class Params(Frozen):
    """Where batches come from, where their photos are, and how to ask for them."""

    model_config = ConfigDict(populate_by_name=True)

    origin: str = Field(default="", alias="from", description='URL or folder of new batches; "" = others bring them')
    pattern: str = Field(default="*", description="which files of the folders are batches")
    photos: str = Field(default="", description='what relative photo paths start at; "" = photos beside the inbox')
    clock_skew_max_s: float = Field(
        default=86_400.0, ge=0, le=10 * 365 * 86_400, description="a record of later than so far ahead is a dead letter"
    )
    seq_max: int = Field(default=SEQ_MAX, ge=1, le=SEQ_MAX, description="the highest number that a record may have")
    download: FetchOptions = FetchOptions()

    @field_validator("pattern")
    @classmethod
    def _is_inside(cls, pattern: str) -> str:
        if not pattern or pattern.startswith("/") or ".." in pattern.split("/"):
            raise ValueError("a pattern of file names inside the folder is wanted, as * or 2026/*.jsonl")
        return pattern

    def limits(self) -> Limits:
        """Return what a record that comes now may claim."""
        return Limits.ahead(time.time(), self.clock_skew_max_s, self.seq_max)


def listing(params: Params, metadata: Path, state: Path | None = None) -> Listing:
    """Fold the batches of the folder `metadata` into the tables of `state`, and list the photos of the live products.

    A photo's id is its path or address as the records give it. Its stamp is that of the newest record that names it, so
    a new record of a product has its photos looked at again. Raises `ValueError` in one line.
    """
    if not metadata.is_dir():
        raise ValueError(f"[raw_images] metadata: {metadata} is no folder; give the one that batches are put into")
    if state is None:
        raise ValueError(f"{metadata}: the feed needs a folder to keep its state in")
    counts = fold(metadata, params.pattern, state, params.limits())
    columns = ["product_id", "seq", "updated_at", "photos", "street_photos", "street_boxes", *_FACTS]
    live = Table(state / "catalog.lance").read(columns, "op = 'upsert'").combine_chunks().sort_by("product_id")
    records = pa.concat_tables([_side(live, "shop", "photos"), _side(live, "street", "street_photos")])
    stamps = _stamps(records)
    photo_ids = pa.array(list(stamps), pa.string())
    photos = pa.table([photo_ids, locators.placed(photo_ids, base(params, metadata))], schema=PHOTOS)
    return Listing(photos, records.select(RECORDS.names), stamps=stamps, report=counts)


def fetch(
    params: Params,
    wanted: Sequence[tuple[str, str]],
    *,
    metadata: Path,
    log: Log,
    known: Mapping[str, Validators] | None = None,
) -> Iterator[Answer]:
    """Read the photos from the disk or ask the web; one whose validators are known is sent only if it changed."""
    return download.fetch(wanted, options=params.download, base=base(params, metadata), known=known, log=log)


def base(params: Params, metadata: Path) -> str:
    """Return the folder or address that relative paths of photos start at."""
    return locators.start(params.photos, Path()) if params.photos else locators.start("photos", metadata.parent)


def _side(live: pa.Table, side: str, column: str) -> pa.Table:
    """Return one row per product and photo of that side: `RECORDS`, then seq and updated_at."""
    lists = live[column].combine_chunks()
    owner = pc.list_parent_indices(lists)
    of = live.select(["product_id", *_FACTS, "seq", "updated_at"]).take(owner)
    count = len(owner)
    box = np.full((count, 4), np.nan)
    if side == "street":
        given = pc.list_flatten(live["street_boxes"].combine_chunks())
        box = given.to_numpy(zero_copy_only=False).astype(np.float64).reshape(count, 4)
    values: dict[str, pa.Array | pa.ChunkedArray] = {
        "photo_id": pc.list_flatten(lists),
        "product_id": of["product_id"],
        "side": pa.array([side] * count, pa.string()),
        **{name: of[name] for name in _FACTS},
        **{name: pa.array(box[:, i], pa.float64(), from_pandas=True) for i, name in enumerate(RECORDS.names[-4:])},
        **{name: of[name] for name in ("seq", "updated_at")},
    }
    schema = pa.schema([*RECORDS, ("seq", pa.int64()), ("updated_at", pa.int64())])
    return pa.table([values[name] for name in schema.names], schema=schema)


def _stamps(records: pa.Table) -> dict[str, str]:
    """Return photo_id -> `seq/updated_at` of the newest record that names it."""
    seq, at = (records[name] for name in ("seq", "updated_at"))
    stamp = pc.binary_join_element_wise(seq.cast(pa.string()), pc.fill_null(at.cast(pa.string()), ""), "/")
    time = pc.fill_null(at, -(2**63))  # none = the oldest, as in `visnet.sources.changefeed.records`
    told = pa.table([records["photo_id"], seq, time, stamp], names=["photo_id", "seq", "time", "stamp"])
    told = told.sort_by([(name, "ascending") for name in ("photo_id", "seq", "time")])
    return dict(zip(told["photo_id"].to_pylist(), told["stamp"].to_pylist(), strict=True))  # the last one counts
