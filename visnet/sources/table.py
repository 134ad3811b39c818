"""A table of your own, CSV, TSV or Parquet: one row per photo, its columns named in params.toml.

It is a file, gzipped or not, or a folder of files with the same columns, as Spark writes them.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from visnet.photos.web import download, locators
from visnet.photos.web.options import FetchOptions
from visnet.photos.web.request import Validators
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Frozen
from visnet.sources import product_table
from visnet.sources.listing import PHOTOS, RECORDS, Answer, Listing
from visnet.sources.rows import files
from visnet.sources.rows.text import Unreadable
from visnet.sources.table_columns import BOX, FURTHER, Columns, mapped, read
from visnet.taxonomy.paths import joined

NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"


class Params(Frozen):
    """How to read the table, and how to ask for the photos."""

    columns: Columns = Columns()
    images: str = Field(default="images", description="folder or address of the photos, from the table's folder")
    attributes: list[str] = Field(
        default=[], description="further columns, which products are shown with and filtered by"
    )
    levels: str = Field(default="", max_length=8, description="what joins a category's levels, as ' > '; empty = a /")
    download: FetchOptions = FetchOptions()


def listing(params: Params, metadata: Path, state: Path | None = None) -> Listing:
    """List the photos and records of the table `metadata`, a file or a folder of files with the same columns.

    A photo's id is its path or address as the table gives it (the path where a row has both); ids are text, so they
    keep their leading zeros. Rows without a usable product or a place are dropped and counted. Raises `ValueError` in
    one line naming the file, the row and the column.
    """
    columns, unusable = _read(metadata, params)
    count = len(columns["product"])
    empty = pa.array([""] * count)
    path, url = columns.get("path", empty), columns.get("url", empty)
    photo_id = pc.if_else(pc.equal(path, ""), url, path)
    box, no_box = _box(columns)
    reasons = pc.unique(unusable.drop_null()).to_pylist()
    faults = {
        **{reason: pc.fill_null(pc.equal(unusable, reason), False) for reason in sorted(reasons)},
        "empty path or url": pc.equal(photo_id, ""),
        "box with a part missing": pa.array(no_box.any(axis=1) & ~no_box.all(axis=1)),
        "box of no size": pa.array((box[:, 2:] <= 0).any(axis=1)),
    }
    table = pa.table(
        [
            photo_id,
            columns["product"],
            _paths(columns["category"], params.levels),
            columns.get("side", pa.array(["shop"] * count)),
            *(columns.get(field, empty) for field in ("split", "colour", "gender")),
            *(pa.array(box[:, i], from_pandas=True) for i in range(len(BOX))),
        ],
        schema=RECORDS,
    )
    dropped = {}
    kept = np.ones(count, bool)
    for reason, fault in faults.items():
        faulty = kept & np.asarray(fault)
        dropped[reason] = int(faulty.sum())
        kept &= ~faulty
    table = table.filter(pa.array(kept))
    dropped = {reason: number for reason, number in dropped.items() if number}
    if table.num_rows == 0:
        raise ValueError(f"{metadata}: no usable row; dropped: {dropped}")
    unique = table.group_by(RECORDS.names, use_threads=False).aggregate([]).select(RECORDS.names)
    if table.num_rows > unique.num_rows:
        dropped["duplicate row"] = table.num_rows - unique.num_rows
    photos = _photos(unique["photo_id"], metadata, params)
    stamps = locators.stamps(photos, _base(params, metadata), params.download.allow_paths)
    return Listing(photos, unique, dropped, stamps, products=_products(columns, kept))


def fetch(
    params: Params,
    wanted: Sequence[tuple[str, str]],
    *,
    metadata: Path,
    log: Log,
    known: Mapping[str, Validators] | None = None,
) -> Iterator[Answer]:
    """Read the photos from the disk or ask the web; every one is answered once, with its bytes or a reason."""
    return download.fetch(wanted, options=params.download, base=_base(params, metadata), known=known, log=log)


def _products(columns: Mapping[str, pa.ChunkedArray], kept: np.ndarray) -> pa.Table | None:
    """Return what the usable rows say of their products beside what `RECORDS` has, None where nothing is read of it."""
    told = {field.removeprefix(FURTHER): field for field in columns if field.startswith(FURTHER)}
    told |= {field: field for field in ("title", "price") if field in columns}
    if not told:
        return None
    told = {"gender": "gender"} | told if "gender" in columns else told
    used = pa.array(kept)
    shown = {name: columns[field].filter(used) for name, field in told.items()}
    return product_table.rows(columns["product"].filter(used), shown)


def _paths(categories: pa.ChunkedArray, between: str) -> pa.ChunkedArray:
    """Write categories whose levels are joined by a text as paths; a / in a level's name is one no more."""
    if not between:
        return categories
    coded = categories.combine_chunks().dictionary_encode()
    named = [joined([level.strip() for level in text.split(between)]) for text in coded.dictionary.to_pylist()]
    return pa.chunked_array([pa.array(named, pa.string()).take(coded.indices)])


def _base(params: Params, metadata: Path) -> str:
    return locators.start(params.images, metadata.parent)


def _photos(photo_ids: pa.ChunkedArray, metadata: Path, params: Params) -> pa.Table:
    photo_ids = pc.unique(photo_ids)
    return pa.table([photo_ids, locators.placed(photo_ids, _base(params, metadata))], schema=PHOTOS)


def _read(path: Path, params: Params) -> tuple[dict[str, pa.ChunkedArray], pa.ChunkedArray]:
    """Read the mapped columns: field -> values, and why a row's product cannot be used, null where it can."""
    found: dict[str, list[pa.Array]] = {}
    unusable: list[pa.Array] = []
    parts = files.parts(path)
    for part in parts:
        if len(parts) > 1 and not part.stat().st_size:
            continue
        constants = partition(part, path)
        row = 0
        with _opened(part, params, constants) as (names, pieces):
            for piece in pieces:
                for field, name in names.items():
                    cells, reasons = read(piece[name], field, name, part)
                    if field == "product":
                        unusable.append(reasons)
                    elif (at := pc.index(reasons.is_valid(), True).as_py()) >= 0:
                        value = piece[name][at].as_py()
                        raise ValueError(f"{part}: row {row + at + 1}: {reasons[at]}, not {value!r:.80}")
                    found.setdefault(field, []).append(cells)
                row += piece.num_rows
    if not unusable:
        raise ValueError(f"{path}: no row in it")
    if len({len(pieces) for pieces in found.values()}) > 1:
        raise ValueError(f"{path}: not all of its files have the columns {', '.join(sorted(found))}")
    return {field: pa.chunked_array(pieces) for field, pieces in found.items()}, pa.chunked_array(unusable)


@contextlib.contextmanager
def _opened(
    part: Path, params: Params, constants: dict[str, str]
) -> Iterator[tuple[dict[str, str], Iterator[pa.Table]]]:
    """Lend field -> column's name, and the mapped columns a piece at a time; faults name the file."""
    try:
        with contextlib.closing(
            files.opened(part, [*params.columns.model_dump().values(), *params.attributes])
        ) as sheet:
            names = mapped(part, params.columns, params.attributes, [*sheet.names, *constants])
            there = sheet.tables({name: None for name in names.values() if name not in constants})
            yield names, (_with_constants(piece, constants) for piece in there)
    except Unreadable as error:
        raise ValueError(f"{part}: cannot be read: {error}") from None


def _with_constants(piece: pa.Table, constants: dict[str, str]) -> pa.Table:
    for name, value in constants.items():
        piece = piece.append_column(name, pa.array([value] * piece.num_rows, pa.string()))
    return piece


def partition(part: Path, path: Path) -> dict[str, str]:
    """Return the columns that stand in the names of folders, and their value, as in kind=hat/part-0.parquet."""
    pairs = [name.split("=", 1) for name in part.relative_to(path).parent.parts if "=" in name]
    return {key: "" if value == NO_PARTITION else unquote(value) for key, value in pairs}


def _box(columns: dict[str, pa.ChunkedArray]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the boxes [N, 4] float64, NaN where not given, and where that is so, [N, 4] bool."""
    count = len(columns["product"])
    sides = [columns[field].to_numpy() if field in columns else np.full(count, np.nan) for field in BOX]
    box = np.stack(sides, axis=1)
    return box, np.isnan(box)
