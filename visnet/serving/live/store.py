"""Changes kept in a small database that several processes share: what was acknowledged is on the disk."""

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from visnet.serving.live.changes import DEAD, VISIBLE, WAITING, Change, ShownCrop, picture_of
from visnet.serving.live.layout import TABLES
from visnet.serving.live.ranks import Before, Outranked, Rank, ranked, written
from visnet.sources.changefeed.records import Limits
from visnet.sources.rows.values import Bad
from visnet.storage.database import connected, writing

COLUMNS = (
    "number, batch, line, product_id, op, record, seq, updated_at, content, state, reason, accepted_s, visible_s, "
    "version"
)
LIVE = "live.sqlite"  # in the folder of the data
REFUSED_MAX = 500  # characters of a refused change that are kept


@dataclass(frozen=True)
class AskedChange:
    """A change that is asked for: its line in the batch, its fields, or why they cannot be read.

    known: the rank of its product in the version that is served.
    """

    line: int
    fields: Mapping[str, Any] | Bad
    known: Before
    text: str = ""


@dataclass(frozen=True, eq=False)
class Ready:
    """A change whose photos are here, by the model that made their vectors; or, without any, why it is dead."""

    number: int
    shown: Sequence[ShownCrop]
    model: str
    dead: str = ""


class LiveStore:
    """Two connections to the file of changes: one reads, one writes. Each may be used by any thread, one at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file, made if it is not there."""
        self.path = path
        self._reader, self._reading = connected(path, TABLES, "FULL"), threading.Lock()
        self._writer, self._writing = connected(path, TABLES, "FULL"), threading.Lock()

    def stamp(self) -> int:
        """Return what differs when anything was committed since."""
        with self._reading:
            return int(self._reader.execute("PRAGMA data_version").fetchone()[0])

    def read(self, asked: str, *given: object) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with self._reading:
            return self._reader.execute(asked, given).fetchall()

    def write(self, work: Sequence["Accept | Ready"]) -> list[Any]:
        """Do several pieces of work in one commit; one that is refused gives its error, and the others go on."""
        with self._writing, writing(self._writer) as database:
            return [_done(database, one) for one in work]

    def change(self, statement: str, rows: Iterable[Sequence[object]] = ((),)) -> None:
        """Change rows, in one commit."""
        with self._writing, writing(self._writer) as database:
            database.executemany(statement, rows)

    def batch(self, batch: str) -> list[Change]:
        """Return the changes of a batch, in the order of its lines; none where it is not known."""
        return [
            _change(row) for row in self.read(f"SELECT {COLUMNS} FROM changes WHERE batch = ? ORDER BY line", batch)
        ]

    def waiting(self, older_s: float) -> list[Change]:
        """Return the changes that have waited for so long."""
        asked = f"SELECT {COLUMNS} FROM changes WHERE state = ? AND accepted_s < ? ORDER BY number"
        return [_change(row) for row in self.read(asked, WAITING, time.time() - older_s)]

    def since(self, turn: int) -> list[tuple[int, Change]]:
        """Return what became visible after a turn, in that order."""
        asked = f"SELECT turn, {COLUMNS} FROM changes WHERE turn > ? ORDER BY turn"
        return [(row[0], _change(row[1:])) for row in self.read(asked, turn)]

    def shown(self, number: int, model: str) -> list[tuple[str, str, torch.Tensor | None]]:
        """Return crop id, picture and vector of a change's photos; None where a vector is not by this model."""
        rows = self.read(
            "SELECT crop_id, photos.picture, vector FROM photos LEFT JOIN vectors "
            "ON vectors.picture = photos.picture AND model = ? WHERE number = ? ORDER BY position",
            model,
            number,
        )
        return [(crop, picture, None if vector is None else _vector(vector)) for crop, picture, vector in rows]

    def vector(self, picture: str, model: str) -> torch.Tensor | None:
        """Return the vector that a model made of a picture, None if it made none yet."""
        rows = self.read("SELECT vector FROM vectors WHERE picture = ? AND model = ?", picture, model)
        return _vector(rows[0][0]) if rows else None

    def jpeg(self, picture: str) -> bytes | None:
        """Return a crop by its name, None when it is not kept."""
        rows = self.read("SELECT jpeg FROM pictures WHERE picture = ?", picture)
        return bytes(rows[0][0]) if rows else None

    def picture(self, crop_id: str, beginning: str) -> tuple[str | None, str]:
        """Return the name of a crop by how it begins, and the product that it shows; None, "" when it is not kept."""
        rows = self.read(
            "SELECT picture, product_id FROM photos JOIN changes USING (number) "
            "WHERE crop_id = ? AND substr(picture, 1, ?) = ? LIMIT 1",
            crop_id,
            len(beginning),
            beginning,
        )
        return rows[0] if rows else (None, "")

    def close(self) -> None:
        """Close the file."""
        with self._reading, self._writing:
            self._reader.close()
            self._writer.close()


def changes_of(path: Path, product_id: str) -> list[Change]:
    """Return the changes of a product, the newest first, from a file that is only read; none where it is not there."""
    if not path.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        asked = f"SELECT {COLUMNS} FROM changes WHERE product_id = ? ORDER BY number DESC"
        return [_change(row) for row in database.execute(asked, (product_id,))]


@dataclass(frozen=True)
class Accept:
    """A batch to be accepted; alone: it is one change, which is not kept if it is refused."""

    batch: str
    asked: Sequence[AskedChange]
    limits: Limits
    alone: bool = False


def _done(database: sqlite3.Connection, work: "Accept | Ready") -> Any:
    if isinstance(work, Ready):
        _shown(database, work)
        return None
    return _accept(database, work)


Values = tuple[str, str, str, Any, Any, Any]  # product_id, op, record, seq, updated_at, content


def _accept(database: sqlite3.Connection, wanted: Accept) -> "list[Change] | Outranked | Bad":
    """Insert the changes of a batch, each after those before it; a lone one that is refused is not kept."""
    made, now_s = [], time.time()
    for one in wanted.asked:
        row = _row(database, wanted, one, now_s)
        if isinstance(row, Exception):
            if wanted.alone:
                return row
            values, state, reason = _refused(one, row), DEAD, str(row)
        else:
            values, state, reason = row, VISIBLE if row[1] == "delete" else WAITING, ""
        visible_s, turn = (now_s, _turn(database)) if state == VISIBLE else (None, None)
        number = database.execute(
            "INSERT INTO changes (batch, line, product_id, op, record, seq, updated_at, content, state, reason, "
            "accepted_s, visible_s, turn) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (wanted.batch, one.line, *values, state, reason, now_s, visible_s, turn),
        ).lastrowid
        rank: Rank = (values[3], values[4], values[5])
        made.append(Change(number or 0, wanted.batch, one.line, *values[:3], rank, state, reason, now_s, visible_s))
    return made


def _row(database: sqlite3.Connection, wanted: Accept, one: AskedChange, now_s: float) -> "Values | Outranked | Bad":
    if isinstance(one.fields, Bad):
        return one.fields
    product_id = one.fields.get("product_id")
    newest = database.execute(
        "SELECT seq, updated_at, content FROM changes WHERE product_id = ? AND state != 'dead' "
        "ORDER BY seq DESC, updated_at DESC, content DESC LIMIT 1",
        (product_id if isinstance(product_id, str) else None,),
    ).fetchone()
    known = max((rank for rank in (one.known.rank, newest) if rank is not None), default=None)
    try:
        fields, found = ranked(one.fields, Before(known, one.known.numbered), int(now_s * 1e6), wanted.limits)
        return (found.product_id, found.op, written(fields), *found.rank)
    except (Bad, Outranked) as error:
        return error


def _refused(one: AskedChange, error: Exception) -> Values:
    given = one.fields if isinstance(one.fields, Mapping) else {}
    product_id = given.get("product_id")
    text = one.text or json.dumps(given, ensure_ascii=False, default=str)
    return (product_id[:512] if isinstance(product_id, str) else "", str(given.get("op", ""))[:20], text[:REFUSED_MAX],
            None, None, None)  # fmt: skip


def _turn(database: sqlite3.Connection) -> int:
    return int(database.execute("UPDATE clock SET turn = turn + 1 RETURNING turn").fetchone()[0])


def _shown(database: sqlite3.Connection, ready: Ready) -> None:
    """Make a change visible by its photos, or dead."""
    if ready.dead:
        database.execute(
            "UPDATE changes SET state = ?, reason = ? WHERE number = ? AND state = ?",
            (DEAD, ready.dead, ready.number, WAITING),
        )
        return
    done = database.execute(
        "UPDATE changes SET state = ?, visible_s = ?, turn = ? WHERE number = ? AND state = ?",
        (VISIBLE, time.time(), _turn(database), ready.number, WAITING),
    )
    if not done.rowcount:  # another process was quicker
        return
    names = [picture_of(one.jpeg) for one in ready.shown]
    for position, (name, one) in enumerate(zip(names, ready.shown, strict=True)):
        vector = one.vector.numpy().astype("<f4").tobytes()
        database.execute("INSERT OR IGNORE INTO pictures VALUES (?, ?)", (name, one.jpeg))
        database.execute("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)", (name, ready.model, vector))
        database.execute("INSERT INTO photos VALUES (?, ?, ?, ?)", (ready.number, position, one.crop_id, name))


def _change(row: Sequence[Any]) -> Change:
    number, batch, line, product_id, op, record, seq, updated_at, content, *state = row
    return Change(number, batch, line, product_id, op, record, (seq, updated_at, content), *state)


def _vector(data: bytes) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(data, "<f4").astype(np.float32))
