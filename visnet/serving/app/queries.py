"""Photos that were asked with, kept for permalinks: a small database that several processes may share."""

import contextlib
import dataclasses
import hashlib
import json
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from visnet.errors import NotFound
from visnet.storage.database import connected, writing

LAYOUT = """
CREATE TABLE IF NOT EXISTS queries (
    number INTEGER PRIMARY KEY AUTOINCREMENT, query_id TEXT NOT NULL UNIQUE, facts TEXT NOT NULL,
    model TEXT NOT NULL, vector BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS photos (photo TEXT PRIMARY KEY, jpeg BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS shows (
    number INTEGER NOT NULL, position INTEGER NOT NULL, photo TEXT NOT NULL, PRIMARY KEY (number, position)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS shown ON shows (photo);
"""


@dataclass(frozen=True)
class KeptBox:
    """A box of the first photo, left, top, right, bottom in its pixels, and what `ShownBox` says of it."""

    box: tuple[float, float, float, float]
    score: float | None
    kind: str
    used: bool


@dataclass(frozen=True, eq=False)
class Query:
    """What was asked: photos of one thing as JPEG, the first one's size before it was shrunk, and its boxes.

    vectors: what `model` made of it, [1, D] float32; if it is grouped, of each used box alone, [V, D].
    """

    photos: Sequence[bytes]
    width: int
    height: int
    boxes: Sequence[KeptBox]
    model: str
    vectors: torch.Tensor
    grouped: bool = False

    @property
    def vector(self) -> torch.Tensor:
        """What it is searched for by, [D]; if it is grouped, the first box."""
        return self.vectors[0]

    @property
    def uncropped(self) -> bool:
        """Whether nothing was cut out of the (first) photo."""
        return any(box.used and box.kind == "whole" for box in self.boxes)

    def part(self, number: int) -> "Query":
        """Return the query of one of the used boxes alone, from 1."""
        used = [at for at, box in enumerate(self.boxes) if box.used]
        boxes = [dataclasses.replace(box, used=at == used[number - 1]) for at, box in enumerate(self.boxes)]
        return dataclasses.replace(self, boxes=boxes, vectors=self.vectors[number - 1 : number], grouped=False)


def part_id(query_id: str | None, number: int) -> str | None:
    """Return the id of the query of one of the used boxes alone, from 1; None where the whole is not kept."""
    return None if query_id is None else f"{query_id}-{number}"


def _facts(query: Query) -> str:
    facts = {"width": query.width, "height": query.height, "boxes": [vars(box) for box in query.boxes]}
    return json.dumps(facts | ({"grouped": True} if query.grouped else {}))


class QueryStore:
    """The newest queries of a catalog; whoever knows an id may ask for its photo."""

    def __init__(self, path: Path, keep: int) -> None:
        """Open the file, made if it is not there."""
        self._keep, self._own = keep, threading.Lock()
        self._database = connected(path, LAYOUT, "NORMAL")

    def put(self, queries: Sequence[Query]) -> list[str]:
        """Keep queries, all or none, and forget those beyond the newest; return their ids, which cannot be guessed."""
        ids = [f"q_{secrets.token_hex(16)}" for _ in queries]
        names = [[hashlib.sha256(photo).hexdigest()[:32] for photo in query.photos] for query in queries]
        number = 0
        with self._writing() as database:
            for query_id, query, mine in zip(ids, queries, names, strict=True):
                vector = query.vectors.numpy().astype("<f4").tobytes()
                number = (
                    database.execute(
                        "INSERT INTO queries (query_id, facts, model, vector) VALUES (?, ?, ?, ?)",
                        (query_id, _facts(query), query.model, vector),
                    ).lastrowid
                    or 0
                )
                database.executemany(
                    "INSERT OR IGNORE INTO photos VALUES (?, ?)", zip(mine, map(bytes, query.photos), strict=True)
                )
                rows = [(number, position, name) for position, name in enumerate(mine)]
                database.executemany("INSERT INTO shows VALUES (?, ?, ?)", rows)
            self._prune(database, number - self._keep)
        return ids

    def get(self, query_id: str) -> Query:
        """Return a query, or the part of one (`part_id`); `NotFound` when it was not kept, or is no more."""
        whole, _, part = query_id.partition("-")
        with self._own:
            row = self._database.execute(
                "SELECT number, facts, model, vector FROM queries WHERE query_id = ?", (whole,)
            ).fetchone()
            photos = [] if row is None else self._photos(row[0])
        if row is None or not photos:
            raise NotFound(f"query {query_id[:80]!r} is not kept; the newest {self._keep:,} are")
        facts = json.loads(row[1])
        grouped = facts.get("grouped", False)
        boxes = [KeptBox(**{**box, "box": tuple(box["box"])}) for box in facts["boxes"]]
        count = sum(box.used for box in boxes) if grouped else 1
        vectors = torch.from_numpy(np.frombuffer(row[3], "<f4").astype(np.float32)).view(count, -1)
        found = Query(photos, facts["width"], facts["height"], boxes, row[2], vectors, grouped)
        if whole == query_id:
            return found
        if not grouped or part not in map(str, range(1, count + 1)):
            raise NotFound(f"query {query_id[:80]!r} is no part of {whole[:80]}, which has {count if grouped else 0}")
        return found.part(int(part))

    def close(self) -> None:
        """Close the file."""
        with self._own:
            self._database.close()

    def _photos(self, number: int) -> list[bytes]:
        found = self._database.execute(
            "SELECT jpeg FROM shows JOIN photos USING (photo) WHERE number = ? ORDER BY position", (number,)
        )
        return [bytes(jpeg) for (jpeg,) in found]

    def _prune(self, database: sqlite3.Connection, last: int) -> None:
        """Forget the queries up to a number, and the photos that no other shows."""
        database.execute(
            "DELETE FROM photos WHERE photo IN (SELECT photo FROM shows WHERE number <= ?) AND NOT EXISTS "
            "(SELECT 1 FROM shows WHERE shows.photo = photos.photo AND number > ?)",
            (last, last),
        )
        for table in ("queries", "shows"):
            database.execute(f"DELETE FROM {table} WHERE number <= ?", (last,))

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._own, writing(self._database) as database:
            yield database
