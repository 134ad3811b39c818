"""What people did with answers, each act once: which product of a search was opened, bought or dismissed.

They are kept in a file beside the queries, with the vector of each query that they are of: queries are forgotten after
a while, and what was judged is not.
"""

import contextlib
import datetime
import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from visnet.storage.database import connected, writing

FILE = "events.sqlite"
LAYOUT = """
CREATE TABLE IF NOT EXISTS events (
    event_id TEXT PRIMARY KEY, query_id TEXT NOT NULL, product_id TEXT NOT NULL, kind TEXT NOT NULL, position INTEGER,
    at TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS asked (query_id TEXT PRIMARY KEY, model TEXT NOT NULL, vector BLOB NOT NULL);
"""


class Event(BaseModel):
    """What was done with a product that answered a search."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query_id: Annotated[str, Field(min_length=1, max_length=80, description="of the search")]
    product_id: Annotated[str, Field(min_length=1, max_length=512)]
    kind: Annotated[
        Literal["click", "purchase", "dismiss"], Field(description="opened, bought, or said to be no answer")
    ]
    position: Annotated[int | None, Field(ge=0, lt=2048, description="among the answers; 0 is the first")] = None
    at: Annotated[AwareDatetime | None, Field(description="when, with its time zone; now if left out")] = None
    event_id: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=80,
            description="the same id is kept once; if left out, the same query, product, kind, position and time are",
        ),
    ] = None

    def key(self) -> str:
        """Return the id under which it is kept: the given one, or a hash of all that it says."""
        if self.event_id is not None:
            return self.event_id
        when = None if self.at is None else self.at.astimezone(datetime.UTC).isoformat()
        said = [self.query_id, self.product_id, self.kind, self.position, when]
        return f"e_{hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]}"


class EventStore:
    """The events of a catalog; several processes may write at once, and what was answered is on disk."""

    def __init__(self, path: Path) -> None:
        """Open the file, made if it is not there."""
        self._own = threading.Lock()
        self._database = connected(path, LAYOUT, "FULL")

    def put(self, events: Sequence[Event], asked: Mapping[str, tuple[str, bytes]]) -> int:
        """Keep events, all or none; return how many were new.

        asked: of every query that the events are of, query_id -> the model of its vector, and the vector, float32 in
        little-endian order.
        """
        now = datetime.datetime.now(datetime.UTC)
        rows = [
            (one.key(), one.query_id, one.product_id, one.kind, one.position, _text(one.at or now)) for one in events
        ]
        vectors = [(query, model, vector) for query, (model, vector) in asked.items()]
        with self._writing() as database:
            had = database.total_changes
            database.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)
            new = database.total_changes - had
            database.executemany("INSERT OR IGNORE INTO asked VALUES (?, ?, ?)", vectors)
        return new

    def close(self) -> None:
        """Close the file."""
        with self._own:
            self._database.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._own, writing(self._database) as database:
            yield database


def _text(when: datetime.datetime) -> str:
    return when.astimezone(datetime.UTC).isoformat(timespec="microseconds")
