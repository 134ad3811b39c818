"""What is counted of the line beside the service: changes that wait, and records of the feed that could not be used."""

import logging
import sqlite3
import threading
import time
from pathlib import Path

import pyarrow.compute as pc

from visnet.serving.app.metrics import Metrics
from visnet.serving.live.changes import WAITING
from visnet.serving.live.store import LiveStore
from visnet.storage.table import Table

log = logging.getLogger("visnet.serving")
LOOK_S = 10.0  # for which a count of the feed's dead letters holds
BATCHES = Path("raw_images", "batches.lance")  # of the data: a row for each batch that the line has read


class LineCounts:
    """Brings gauges up to date when they are asked for; what cannot be read keeps the value it had."""

    def __init__(self, data: Path, metrics: Metrics, store: LiveStore | None) -> None:
        self._batches, self._metrics, self._store = data / BATCHES, metrics, store
        self._looked_s, self._looking = float("-inf"), threading.Lock()

    def look(self) -> None:
        """Look at the file of changes, and now and then at the table of batches; from any thread."""
        with self._looking:
            try:
                self._changes()
                if time.monotonic() > self._looked_s + LOOK_S:
                    self._looked_s = time.monotonic()
                    self._dead_letters()
            except (OSError, ValueError, sqlite3.Error) as error:
                log.error("what the line has taken cannot be counted: %s", error)

    def _changes(self) -> None:
        if self._store is None:
            return
        asked = "SELECT count(*), min(accepted_s) FROM changes WHERE state = ?"
        ((count, first_s),) = self._store.read(asked, WAITING)
        self._metrics.waiting.set(count)
        self._metrics.waiting_s.set(max(0.0, time.time() - first_s) if count else 0.0)

    def _dead_letters(self) -> None:
        table = Table(self._batches)
        if table.exists():
            found = pc.sum(table.read(["dead_letters"])["dead_letters"]).as_py()
            self._metrics.dead_letters.set(found or 0)
