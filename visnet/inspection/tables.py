"""A table, a file or a folder of parts: its columns, and the folder that its photos are in."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from visnet.inspection import columns
from visnet.inspection.columns import Sample
from visnet.inspection.inspected import Inspected, counts, listed, listed_names
from visnet.inspection.photo_places import Beside, beside
from visnet.sources import table
from visnet.sources.rows import files, values
from visnet.sources.rows.parquet_sheet import ParquetSheet
from visnet.sources.rows.text import Unreadable
from visnet.sources.table_columns import Columns

ROWS = 20_000  # that are looked at of a table
PARTS = 20  # of its files
ARROW = " > "  # as Google's product taxonomy and many shops join levels
NEEDED = {  # what must be known of each photo -> the lines that say it
    "where a photo is": 'path = "…" or url = "…"',
    "what kind of product a photo shows": 'category = "…"',
}


def inspect(path: Path, target: str, base: str = "") -> Inspected:
    """Recognise the columns of a table, find its photos, and count both.

    base: the address that relative paths start at, "" of a table of this machine. `ValueError` names the columns there
    are, and the line to write, where one that is needed is not recognised.
    """
    sample = sampled(path)
    chosen, notes = columns.recognised(sample)
    known = [{"path", "url"} & chosen.keys(), "category" in chosen]
    if lacking := [what for what, there in zip(NEEDED, known, strict=True) if not there]:
        there_are = listed_names(list(sample)) or "none"
        lines = " and ".join(NEEDED[what] for what in lacking)
        raise ValueError(
            f"{path}: no column says {' or '.join(lacking)}; the table has {there_are}; "
            f"write in [raw_images.table.columns] {lines}{_named_by(sample, chosen, path)}"
        )
    there = Beside(base) if base else beside(sample[chosen["path"]], path) if "path" in chosen else Beside("")
    if "path" in chosen and "url" in chosen and not base:
        left = chosen.pop("url" if there.found else "path")
        notes.append(f"{'paths' if there.found else 'addresses'} are taken, and {left} is not")
    if "path" in chosen and not base and not there.found:
        raise ValueError(there.refusal(path))
    own: dict[str, Any] = {"images": there.images} if there.images else {}
    if further := columns.further(sample, chosen):
        own["attributes"] = further
    own["columns"] = dict(sorted(chosen.items(), key=lambda item: list(Columns.model_fields).index(item[0])))
    categories = {text for text in sample[chosen["category"]] if text}
    if 2 * sum(ARROW in text for text in categories) > len(categories):
        own["levels"] = ARROW
        notes.append(f'a category is a path, whose levels are joined by "{ARROW}"')
    says = ", ".join(f"{field} = {name}" for field, name in own["columns"].items())
    found = (
        ("Columns", says),
        *[("Filters", f"{listed_names(further)}, beside category, colour, gender and price")] * bool(further),
        *[("Photos", f"below {there.images}")] * bool(there.images),
    )
    return Inspected(target, "table", path, own, counts(listed("table", own, path)), tuple(notes), found)


def sampled(path: Path) -> dict[str, list[str]]:
    """Read the first rows of a table's plain columns as texts; `ValueError` when it is no table, or an empty one."""
    parts = files.parts(path)
    parts = [part for part in parts if part.stat().st_size or len(parts) == 1][:PARTS]
    found: dict[str, list[str]] = {}
    for part in parts:
        constants = table.partition(part, path) if path.is_dir() else {}
        with _opened(part, ROWS // len(parts)) as (names, piece):
            rows = {name: list(map(_text, piece[name].to_pylist())) for name in names}
            rows |= {name: [value] * piece.num_rows for name, value in constants.items()}
        for name, texts in rows.items():
            if not found or name in found or part is parts[0]:
                found.setdefault(name, []).extend(texts)
    if not any(found.values()):
        raise ValueError(f"{path}: no row in it; columns: {listed_names(list(found)) or 'none'}")
    most = max(map(len, found.values()))
    return {name: texts for name, texts in found.items() if len(texts) == most}


@contextlib.contextmanager
def _opened(part: Path, rows: int) -> Iterator[tuple[list[str], pa.Table]]:
    """Lend the names of a file's plain columns, each there once, and their first rows."""
    try:
        with contextlib.closing(files.opened(part, ())) as sheet:
            nested = _unread(sheet.plain) if isinstance(sheet, ParquetSheet) else set()
            names = [name for name in sheet.names if name and sheet.names.count(name) == 1 and name not in nested]
            first = next(iter(sheet.tables(names)), None) if names else None
            yield (
                names,
                (pa.table({name: [] for name in names}) if first is None else first.slice(0, rows)),
            )
    except Unreadable as error:
        raise ValueError(f"{part}: cannot be read: {error}") from None


def _unread(schema: pa.Schema) -> set[str]:
    """Return the columns that are no texts or numbers: lists, structures, the bytes of photos."""
    refused = (pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return {field.name for field in schema if any(is_kind(field.type) for is_kind in refused)}


def _text(value: object) -> str:
    try:
        return values.text(value, "")
    except values.Bad:
        return ""


def _named_by(sample: Sample, chosen: Mapping[str, str], path: Path) -> str:
    """Say that photos are called as the products are, where the table has no column of paths."""
    ids = [] if {"path", "url"} & chosen.keys() else list(sample.get(chosen.get("product", ""), ()))[:20]
    there = beside([f"{text}{suffix}" for text in ids for suffix in (".jpg", ".jpeg", ".png", ".webp") if text], path)
    return f"; photos as {there.found[0]} are in {there.images}: add a column of such names" if there.found else ""


def tried(path: Path, target: str) -> Inspected | str:
    """Inspect a table that lies beside photos; return why it cannot be used where that is so."""
    try:
        return inspect(path, target)
    except ValueError as error:
        return " ".join(str(error).split())


def same_columns(paths: list[Path]) -> bool:
    """Tell whether files are parts of one table: they have the same columns."""
    heads: set[Mapping[str, None] | tuple[str, ...]] = set()
    for path in paths:
        try:
            with contextlib.closing(files.opened(path, ())) as sheet:
                heads.add(tuple(sheet.names))
        except Unreadable:
            return False
    return len(heads) == 1
