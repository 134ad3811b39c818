"""Work for the processes of a cluster, which import it by its name."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from visnet.engines.blocks import ROW, Work
from visnet.errors import NotFound


class Doubling:
    """Doubles numbers, and notes in a file that it was loaded."""

    def __init__(self, notes: Path) -> None:
        self.notes = notes

    def __call__(self) -> Work:
        with self.notes.open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")
        return doubled


def doubled(block: pa.Table) -> pa.Table:
    return pa.table({ROW: block[ROW], "number": pc.multiply(block["number"], 2)})


def refusing() -> Work:
    def refused(block: pa.Table) -> pa.Table:
        raise ValueError(f"crop {block['number'][0].as_py()} does not decode")

    return refused


def losing() -> Work:
    return lambda block: doubled(block.slice(1))


def misread() -> Work:
    raise NotFound("no such model here")


class Odd(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first}, {second}")


def unpicklable() -> Work:
    raise Odd("a", "b")


def doubling() -> Work:
    return doubled
