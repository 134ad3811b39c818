"""A thread that has changes of any process answer in this one."""

import logging
import threading
from collections.abc import Callable

from visnet.serving.live.store import LiveStore

EVERY_S = 0.02
log = logging.getLogger("visnet.serving")


class Follower:
    """Looks again and again whether anything was committed, and has it taken in."""

    def __init__(self, store: LiveStore, catch_up: Callable[[], object]) -> None:
        self._store, self._catch_up = store, catch_up
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="changes", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after what is under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        seen = -1
        while not self._stop.wait(EVERY_S):
            try:
                stamp = self._store.stamp()
                if stamp != seen:
                    self._catch_up()
                seen = stamp
            except Exception as error:  # whatever it is, the changes are kept: it is tried again
                log.error("changes could not be taken in: %s", error)
                self._stop.wait(1.0)
