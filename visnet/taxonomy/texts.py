"""Text files that a person writes: read as UTF-8, with the line of what is none."""

from pathlib import Path

from visnet.errors import NotFound


def read_utf8(file: Path, wanted: str) -> str:
    """Read a whole text; `ValueError` says what is `wanted` there, or on which line it is no UTF-8."""
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise NotFound(f"{file}: no such file; {wanted}") from None
    except IsADirectoryError:
        raise ValueError(f"{file}: a folder; {wanted}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(f"{file}: line {line}: not UTF-8 text; save it as UTF-8") from None
