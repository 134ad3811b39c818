"""Small shops on disk: photos in folders, and tables that name them."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def photo(number: int, side_px: int = 24) -> bytes:
    """Encode a photo of a colour of its own."""
    file = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 255, (4, 4, 3), np.uint8)
    Image.fromarray(pixels.repeat(side_px // 4, 0).repeat(side_px // 4, 1)).save(file, "JPEG")
    return file.getvalue()


def put(root: Path, *names: str) -> Path:
    """Write photos under these names below a folder."""
    root.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(photo(number))
    return root


def put_table(path: Path, header: str, rows: Sequence[str], delimiter: str = ",") -> Path:
    """Write a table, its header and rows given with spaces between the cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([header.split(), *(row.split() for row in rows)])
    return path
