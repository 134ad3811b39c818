"""Work for the processes of a cluster, which import it by its name."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from visnet.engines.blocks import ROW, Work
from visnet.engines.streams import Made
from visnet.errors import NotFound
from visnet.photos.web.download import Answer
from visnet.photos.web.proxies import Unusable


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


@dataclass(frozen=True)
class Counting:
    """Makes keys into items, noting each in a file; it dies, once or always, or refuses one."""

    notes: Path
    dies_at: str = ""
    always: bool = False
    refuses: str = ""
    size_bytes: int = 1

    def __call__(self, keys: Sequence[str]) -> Iterator[Made]:
        for key in keys:
            again = self.notes.exists() and key in self.notes.read_text(encoding="utf-8").split()
            with self.notes.open("a", encoding="utf-8") as file:
                file.write(f"{key}\n")
            if key == self.dies_at and (self.always or not again):
                os._exit(1)
            if key == self.refuses:
                raise NotFound(f"no {key} here")
            yield Made(key, key, self.size_bytes)


def odd(keys: Sequence[str]) -> Iterator[Made]:
    raise Odd("a", "b")
    yield


def unusable(wanted: Sequence[tuple[str, str]]) -> Iterator[Answer]:
    through = [photo_id for photo_id, locator in wanted if "//a." in locator]
    yield from (Answer(photo_id, None, "gone") for photo_id, _ in wanted if photo_id not in through)
    if through:
        raise Unusable("HTTP_PROXY=odd: not an address")
