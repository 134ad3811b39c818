"""What stands on disk against what was written: a checksum of every mebibyte of an artefact's files.

Lance's data files are never written to twice, and other files by stages alone, so a file that is not as it was after
the stage is damaged: by a disk, a copy that broke off, another program. Lance's manifests are numbered, and a table
that takes the place of another has the same numbers: of them, only that the latest one can be read is looked at.

`check` samples before a stage builds on it, `damaged` with no limit reads all.
"""

import contextlib
import json
import os
import random
import zlib
from collections.abc import Iterator
from pathlib import Path

from visnet.errors import Damaged
from visnet.storage import atomic
from visnet.storage.table import NUMBERED, Table, tables_of

CHECKSUMS = "checksums.json"  # in the artefact's folder: DVC brings it with the rest
BLOCK_BYTES = 1 << 20
WHOLE_BYTES = 64 << 20  # so much of an artefact is always read: a tenth of a second
SAMPLE_BYTES = 16 << 20  # of a larger one

Checksums = dict[str, list[int]]  # relative path -> size, then the CRC-32 of each block


def record(folder: Path) -> None:
    """Note the checksums of an artefact's files after its stage; no file of a table is read a second time."""
    known = _of_tables(folder)
    _put(folder, {name: known.get(name) or _sums(path) for name, path in _files(folder)})


@contextlib.contextmanager
def released(folder: Path) -> Iterator[None]:
    """Forget the checksums of files outside of tables while a stage works in this folder, which may write these anew.

    Were it killed before `record`, what it has written would be taken for damaged. When it refuses, they are noted
    again, as these files then stand.
    """
    released = read(folder).keys() - (tables := _of_tables(folder)).keys()
    _put(folder, tables)
    try:
        yield
    except (ValueError, OSError):
        with contextlib.suppress(OSError):
            standing = {name: _sums(folder / name) for name in released if (folder / name).exists()}
            _put(folder, {**tables, **standing})
        raise


def check(folder: Path) -> None:
    """Raise `ValueError` in one line when a sample of an artefact's files is not as it was recorded."""
    if wrong := damaged(folder, limit_bytes=SAMPLE_BYTES, seed=random.randrange(1 << 32)):
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise Damaged(f"{wrong[0]} is damaged{more}: it is not as it was written; {cure(folder)}")


def cure(folder: Path) -> str:
    """Say how an artefact is brought back."""
    return f"run `dvc checkout --force {folder}` (where DVC's cache lacks it: `rm -r {folder}` and `dvc repro`)"


def damaged(folder: Path, *, limit_bytes: int | None = None, seed: int = 0) -> list[Path]:
    """List the recorded files that are missing, of another size, or of another checksum.

    limit_bytes: of an artefact of more than WHOLE_BYTES only so many are read, blocks drawn by `seed`; None reads all.
    """
    known, blocks = read(folder), []
    wrong = {table.path for table in tables_of(folder) if not table.can_be_opened()}
    for name, (size, *sums) in known.items():
        path = folder / name
        if wrong.intersection(path.parents):
            continue
        if not path.exists():
            if _needed(path):
                wrong.add(path)
        elif path.stat().st_size != size:
            wrong.add(path)
        else:
            blocks += [(path, number, crc) for number, crc in enumerate(sums)]
    if limit_bytes is not None and len(blocks) * BLOCK_BYTES > WHOLE_BYTES:
        blocks = sorted(random.Random(seed).sample(blocks, min(len(blocks), limit_bytes // BLOCK_BYTES)))
    for path, number, crc in blocks:
        if path not in wrong and _block(path, number) != crc:
            wrong.add(path)
    return sorted(wrong)


def read(folder: Path) -> Checksums:
    """Return what was recorded of a folder; `ValueError` when the record itself is damaged."""
    path = folder / CHECKSUMS
    try:
        known: Checksums = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise Damaged(f"{path} is damaged; {cure(folder)}") from None
    return known


def _of_tables(folder: Path) -> Checksums:
    return {name: sums for name, sums in read(folder).items() if ".lance/" in name}


def _put(folder: Path, found: Checksums) -> None:
    if found != read(folder):
        rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(sums)}" for name, sums in sorted(found.items()))
        atomic.put_text(folder / CHECKSUMS, f"{{\n{rows}\n}}\n")


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in NUMBERED)
        for name in sorted(names):
            if name != CHECKSUMS and not name.startswith("."):
                path = Path(root, name)
                yield path.relative_to(folder).as_posix(), path


def _needed(path: Path) -> bool:
    """Whether a missing file is one that its table's latest version names.

    A commit that was taken back leaves others in the record, as does a compaction that was killed at its end.
    """
    folder = next((parent for parent in path.parents if parent.suffix == ".lance"), None)
    if folder is None:
        return True
    if not (table := Table(folder)).exists():
        return False  # it was dropped whole; who needs it says so
    return path.relative_to(folder).as_posix() in table.files()


def _sums(path: Path) -> list[int]:
    size = path.stat().st_size
    return [size, *(_block(path, number) for number in range(-(-size // BLOCK_BYTES)))]


def _block(path: Path, number: int) -> int:
    with path.open("rb") as file:
        file.seek(number * BLOCK_BYTES)
        return zlib.crc32(file.read(BLOCK_BYTES))
