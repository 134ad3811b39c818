"""A table of your own, CSV, TSV or Parquet: one row per photo, its columns named in params.toml."""

import csv
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray
from pydantic import Field

from visnet import download, locators
from visnet.log import Log
from visnet.request import Mark, Options
from visnet.sources.listing import PHOTOS, RECORDS, SIDES, SPLITS, Answer, Listing
from visnet.stage import Frozen

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
DELIMITERS = ",\t;|"
BOX = ("left", "top", "width", "height")


class Columns(Frozen):
    """Which column of the table says what; "" = none does.

    `product`, `category` and one of `path` and `url` are needed. A name written in params.toml must be in the table;
    the defaults of `colour` and `gender` may be missing, and that of `path` when `url` is written.
    """

    product: str = "_id"
    category: str = "_category"
    path: str = "_name"
    url: str = ""
    colour: str = "_color"
    gender: str = "_gender"
    side: str = Field(default="", description="street | shop; unmapped or empty = shop")
    split: str = Field(default="", description="train | validation | test; unmapped or empty = assigned by product")
    left: str = ""
    top: str = ""
    width: str = ""
    height: str = ""


class Params(Frozen):
    """How to read the table, and how to ask for the photos."""

    columns: Columns = Columns()
    images: str = Field(default="images", description="folder or address of the photos, from the table's folder")
    download: Options = Options()


def listing(params: Params, metadata: Path, state: Path | None = None) -> Listing:
    """List the photos and records of the table `metadata`.

    A photo's id is its path or address as the table gives it (the path where a row has both); every value is read as
    text, so ids keep their leading zeros. Rows without a product or a place are dropped and counted. Raises
    `ValueError` in one line naming the file and the field.
    """
    columns, names = _read(metadata, params.columns)
    count = len(columns["product"])
    empty = pa.array([""] * count)
    columns = {field: pc.utf8_trim_whitespace(pc.fill_null(values, "")) for field, values in columns.items()}
    path, url = columns.get("path", empty), columns.get("url", empty)
    photo_id = pc.if_else(pc.equal(path, ""), url, path)
    box, no_box = _box(columns, names, metadata)
    faults = {
        "empty product": pc.equal(columns["product"], ""),
        "empty path or url": pc.equal(photo_id, ""),
        "box with a part missing": pa.array(no_box.any(axis=1) & ~no_box.all(axis=1)),
        "box of no size": pa.array(((box[:, 2:] <= 0) | np.isinf(box[:, 2:])).any(axis=1)),
    }
    side = columns.get("side", empty)
    table = pa.table(
        [
            photo_id,
            columns["product"],
            columns["category"],
            pc.if_else(pc.equal(side, ""), "shop", _one_of(side, SIDES, "side", names, metadata)),
            _one_of(columns.get("split", empty), SPLITS, "split", names, metadata),
            columns.get("colour", empty),
            columns.get("gender", empty),
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
    if table.num_rows == 0:
        raise ValueError(f"{metadata}: no usable row; dropped: {dropped}")
    unique = table.group_by(RECORDS.names, use_threads=False).aggregate([]).select(RECORDS.names)
    dropped["duplicate row"] = table.num_rows - unique.num_rows
    photos = _photos(unique["photo_id"], metadata, params)
    stamps = locators.stamps(photos, _base(params, metadata), params.download.allow_paths)
    return Listing(photos, unique, {r: n for r, n in dropped.items() if n}, stamps)


def fetch(
    params: Params,
    wanted: Sequence[tuple[str, str]],
    *,
    metadata: Path,
    log: Log,
    known: Mapping[str, Mark] | None = None,
) -> Iterator[Answer]:
    """Read the photos from the disk or ask the web; every one is answered once, with its bytes or a reason."""
    return download.fetch(wanted, options=params.download, base=_base(params, metadata), known=known, log=log)


def _base(params: Params, metadata: Path) -> str:
    return locators.start(params.images, metadata.parent)


def _photos(photo_ids: pa.ChunkedArray, metadata: Path, params: Params) -> pa.Table:
    photo_ids = pc.unique(photo_ids)
    return pa.table([photo_ids, locators.placed(photo_ids, _base(params, metadata))], schema=PHOTOS)


def _read(path: Path, columns: Columns) -> tuple[dict[str, pa.ChunkedArray], dict[str, str]]:
    """Read the mapped columns as text: field -> values, and field -> the column's name."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: a table is wanted, one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        if path.suffix.lower() == ".parquet":
            there = pyarrow.parquet.read_schema(path).names
            names = _mapped(path, columns, there)
            table = pyarrow.parquet.read_table(path, columns=sorted(set(names.values())))
        else:
            there, delimiter = _header(path, columns)
            names = _mapped(path, columns, there)
            used = sorted(set(names.values()))
            table = pyarrow.csv.read_csv(
                path,
                parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=pyarrow.csv.ConvertOptions(
                    include_columns=used, column_types=dict.fromkeys(used, pa.string())
                ),
            )
        values = {field: table[name].cast(pa.string()) for field, name in names.items()}
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    if table.num_rows == 0:
        raise ValueError(f"{path}: no row in it")
    return values, names


def _header(path: Path, columns: Columns) -> tuple[list[str], str]:
    """Read the first line under the delimiter that finds the most mapped columns, then the most columns."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from None
    mapped = set(columns.model_dump().values())
    readings = [(next(csv.reader([first], delimiter=mark), []), mark) for mark in DELIMITERS]
    return max(readings, key=lambda reading: (len(mapped.intersection(reading[0])), len(reading[0])))


def _mapped(path: Path, columns: Columns, there: list[str]) -> dict[str, str]:
    """Return field -> column for what the table has; `ValueError` when a needed or a written one is missing."""
    written = columns.model_fields_set
    names = {field: name for field, name in columns.model_dump().items() if name}
    if "url" in written and "path" not in written:
        names.pop("path")
    for field in ("colour", "gender"):
        if field not in written and names.get(field) not in there:
            names.pop(field, None)
    found = f"the table has {', '.join(there)}"
    for field in ("product", "category"):
        if field not in names:
            raise ValueError(f"{path}: columns.{field} is not mapped; {found}")
    for field, name in names.items():
        if there.count(name) != 1:
            fault = "no column" if name not in there else "more than one column"
            raise ValueError(f"{path}: columns.{field}: {fault} {name!r}; {found}")
    if not {"path", "url"} & names.keys():
        raise ValueError(f"{path}: neither columns.path nor columns.url is mapped to a column; {found}")
    if 0 < len(names.keys() & set(BOX)) < len(BOX):
        raise ValueError(f"{path}: columns.{{{','.join(BOX)}}}: map all four of them or none")
    return names


def _box(
    columns: dict[str, pa.ChunkedArray], names: dict[str, str], path: Path
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the boxes [N, 4] float64, NaN where not given, and where that is so, [N, 4] bool."""
    if BOX[0] not in columns:
        none = np.full((len(columns["product"]), len(BOX)), np.nan)
        return none, np.isnan(none)
    sides = []
    for field in BOX:
        values = pc.if_else(pc.equal(columns[field], ""), pa.scalar(None, pa.string()), columns[field])
        try:
            numbers = values.cast(pa.float64())
        except pa.ArrowInvalid:
            row, value = _first_bad(values)
            raise ValueError(f"{path}: row {row}: {names[field]}: a number is wanted, not {value!r}") from None
        sides.append(numbers.to_numpy())
    box = np.stack(sides, axis=1)
    return box, np.isnan(box)


def _first_bad(values: pa.ChunkedArray) -> tuple[int, str]:
    for row, value in enumerate(values.to_pylist(), 1):
        try:
            float(value or 0)
        except ValueError:
            return row, value
    raise AssertionError("every value is a number")


def _one_of(
    values: pa.ChunkedArray, allowed: tuple[str, ...], field: str, names: dict[str, str], path: Path
) -> pa.ChunkedArray:
    known = functools.reduce(pc.or_, map(functools.partial(pc.equal, values), {*allowed, ""}))
    if (row := pc.index(known, False).as_py()) >= 0:
        words = " | ".join(filter(None, allowed))
        raise ValueError(f"{path}: row {row + 1}: {names[field]}: {words} is allowed, not {values[row].as_py()!r}")
    return values
