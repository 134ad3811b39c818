"""Which file is read how, by its name, and what a path is when it is no such file."""

import os
from collections.abc import Collection
from pathlib import Path

from visnet.sources.rows.csv_sheet import CsvSheet
from visnet.sources.rows.parquet_sheet import ParquetSheet

TEXTS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
SUFFIXES = (*TEXTS, ".parquet")


def opened(path: Path, wanted: Collection[str]) -> CsvSheet | ParquetSheet:
    """Open a file of rows; of CSV, the delimiter is the one by which most of the `wanted` columns are found."""
    return ParquetSheet(path) if path.name.lower().endswith(".parquet") else CsvSheet(path, wanted)


def parts(path: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """Return a file, or those of a folder, as Spark writes them, by name; `ValueError` says why there is none."""
    if path.is_dir():
        found = [file for file in sorted(path.rglob("*")) if is_part(file, path, suffixes)]
        if not found:
            raise ValueError(f"{path}: a folder, and no {', '.join(suffixes)} is in it")
        if len({file.name.lower().endswith(".parquet") for file in found}) > 1:
            raise ValueError(f"{path}: a folder that holds Parquet and text; one of them is wanted")
        return found
    if not path.name.lower().endswith(suffixes):
        raise ValueError(f"{path}: a table is wanted, one of {', '.join(suffixes)}, or a folder of them")
    check_there(path)
    return [path]


def is_part(file: Path, folder: Path, suffixes: tuple[str, ...]) -> bool:
    """Tell whether a file of a folder is a part of it; `_SUCCESS`, `._x` and what is under `_temporary` are none."""
    hidden = any(name[0] in "._" and "=" not in name for name in file.relative_to(folder).parts)
    return not hidden and file.name.lower().endswith(suffixes) and file.is_file()


def check_there(path: Path) -> None:
    """Refuse a path at which no file can be read, by what is wrong with it."""
    if path.is_symlink() and not path.exists():
        raise ValueError(f"{path}: a link to {os.readlink(path)}, which does not exist")
    if not path.exists():
        raise ValueError(f"{path}: no such file")
    if path.is_dir():
        raise ValueError(f"{path}: a folder; a file is wanted")
    if not os.access(path, os.R_OK):
        raise ValueError(f"{path}: no permission to read it")
