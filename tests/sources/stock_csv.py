"""A shop's stock as a CSV file, and the rows that are listed of it."""

import csv
from pathlib import Path

from visnet.sources.listing import Listing

HEADER = ["_category", "_color", "_id", "_gender", "_name"]

ROWS = [
    ["dress", "Black", "0017", "w", "dress/0017_Black_0.jpg"],
    ["dress", "", "0017", "w", "dress/0017 Black, 1.jpg"],
    ["hat", "Red", "18", "u", "hat/18_Red_0.jpg"],
]


def write(path: Path, rows: list[list[str]], header: list[str] = HEADER, delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return path


def rows(listing: Listing, *columns: str) -> list[tuple[object, ...]]:
    return [tuple(row[column] for column in columns) for row in listing.records.to_pylist()]
