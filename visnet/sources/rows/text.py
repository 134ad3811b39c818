"""Text files as they come: UTF-8, perhaps gzipped, line by line, and no line longer than a limit in memory."""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO, cast

LINE_MAX = 1 << 20  # characters
UNPACKED_MAX = 1 << 30  # bytes of a gzipped text
RATIO_MAX = 200  # times its packed size; a text of records packs 5 to 50 times
CURE = "save it as UTF-8 (in a spreadsheet: CSV UTF-8)"
_RATIO_FROM = 64 << 20
_PIECE = 1 << 20


class Unreadable(Exception):
    """The whole file says nothing; the message is why, and what would help."""


def opened(path: Path) -> TextIO:
    """Open a text. What is not UTF-8 in it shows as surrogates; `Unreadable` when all of it is something else."""
    packed = path.name.lower().endswith(".gz")
    if packed:
        _check_gzip(path)
    raw = cast(BinaryIO, gzip.open(path) if packed else path.open("rb"))  # noqa: SIM115 - the text closes it
    try:
        _check_encoding(raw.read(4096))
        raw.seek(0)
    except Unreadable:
        raw.close()
        raise
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")


def lines(file: TextIO) -> Iterator[tuple[str, bool]]:
    """Yield every line with its end, and whether it is whole; of one over `LINE_MAX` only so much is kept."""
    while line := file.readline(LINE_MAX):
        whole = len(line) < LINE_MAX or line[-1] in "\r\n"
        more = "" if whole else line
        while more and more[-1] not in "\r\n":
            more = file.readline(LINE_MAX)
        yield line, whole


def is_utf8(line: str) -> bool:
    """Tell whether what `opened` gave was UTF-8."""
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_encoding(head: bytes) -> None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable(f"UTF-16 text; {CURE}")
    if head.startswith(b"PK\x03\x04"):
        raise Unreadable(f"a workbook or a zip file, and no text; {CURE}")
    if head.startswith(b"\x1f\x8b"):
        raise Unreadable("gzipped; let its name end with .gz")
    if head.startswith(b"PAR1"):
        raise Unreadable("Parquet; let its name end with .parquet")
    if head.count(0) > len(head) // 4:
        raise Unreadable(f"NUL bytes, as in UTF-16 text or a binary file; {CURE}")


def _check_gzip(path: Path) -> None:
    """Unpack it once into nothing: a broken end or a bomb is known before a record of it counts."""
    packed, unpacked = path.stat().st_size, 0
    try:
        with gzip.open(path) as file:
            while piece := file.read(_PIECE):
                unpacked += len(piece)
                if unpacked > UNPACKED_MAX:
                    raise Unreadable(f"over {UNPACKED_MAX >> 20} MiB of text; divide it")
                if unpacked > _RATIO_FROM and unpacked > RATIO_MAX * packed:
                    raise Unreadable(f"unpacks to more than {RATIO_MAX} times its size")
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise Unreadable("broken gzip") from None
