"""A lease on what lies in an object store, where no kernel gives a dead holder's lock back: it runs out instead.

An object holds the owner's name and for how many seconds it holds; it is taken, renewed and given back by conditional
puts. How old it is tells the store's own clock, so that the clocks of two machines may differ. The holder counts from
before it asked, by a clock that nobody sets: it stops before another can begin.
"""

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator

from visnet.errors import Conflict
from visnet.storage.object_store import ABSENT, Found, ObjectStore

TTL_S = 60.0
PATIENCE_S = 5.0  # for an answer to the last renewal
CLOCK_S = 2.0  # the store's clock tells whole seconds


class Lease:
    """A lease that is held; a thread renews it. What must not be done by two calls `check` before each step."""

    def __init__(self, store: ObjectStore, name: str, owner: str, ttl_s: float, begun_s: float, tag: str) -> None:
        self.owner = owner
        self._store, self._name, self._ttl_s, self._tag = store, name, ttl_s, tag
        self._until_s = begun_s + ttl_s
        self._lost, self._done = threading.Event(), threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._renewing.start()

    def check(self) -> None:
        """Raise `Conflict` when it is no longer ours."""
        if self._lost.is_set() or time.monotonic() >= self._until_s:
            raise Conflict(f"{self._store.url}/{self._name} was lost, another may hold it; run this again")

    def release(self) -> None:
        """Give it back; what cannot be given back runs out."""
        self._done.set()
        self._renewing.join(PATIENCE_S)
        if not self._lost.is_set() and not self._renewing.is_alive():
            with contextlib.suppress(ValueError):
                self._store.put(self._name, _content(self.owner, 0.0), self._tag)
        self._lost.set()

    def _renew(self) -> None:
        times = 0
        while not self._done.wait(self._ttl_s / 3):
            begun_s, times = time.monotonic(), times + 1
            try:
                self._tag = self._store.put(self._name, _content(self.owner, self._ttl_s, times), self._tag)
            except Conflict:  # another has it since; one that ran out and that nobody took is renewed like any
                self._lost.set()
                return
            except (ValueError, OSError):
                continue  # asked again while it holds
            self._until_s = begun_s + self._ttl_s


@contextlib.contextmanager
def held(store: ObjectStore, name: str, what: str, ttl_s: float = TTL_S) -> Iterator[Lease]:
    """Hold the lease `name` of a folder of a store; `Conflict` at once in a line that says who does what there.

    ttl_s: seconds after which another may take it from a holder that has died.
    """
    owner = f"{what} on {socket.gethostname()}, process {os.getpid()}, {secrets.token_hex(4)}"
    begun_s, found = time.monotonic(), store.read(name)
    if found is not None:
        other, holds_s = _read(found)
        left_s = holds_s + CLOCK_S - found.age_s
        if holds_s and left_s > 0:
            raise Conflict(f"{store.url} is in use: {other}; wait until that has ended, or {left_s:.0f} s if it died")
    try:
        tag = store.put(name, _content(owner, ttl_s), ABSENT if found is None else found.tag)
    except Conflict:
        raise Conflict(f"{store.url} is in use: another began just now; wait until that has ended") from None
    lease = Lease(store, name, owner, ttl_s, begun_s, tag)
    try:
        yield lease
    finally:
        lease.release()


def _content(owner: str, holds_s: float, renewed: int = 0) -> bytes:
    """Return what the object says; no two puts say the same, or a tag would not tell them apart."""
    return json.dumps({"owner": owner, "holds_s": holds_s, "renewed": renewed}).encode()


def _read(found: Found) -> tuple[str, float]:
    try:
        content = json.loads(found.data)
        return str(content["owner"]), float(content["holds_s"])
    except (ValueError, TypeError, KeyError):  # not written by us: as if it had run out
        return "unknown", 0.0
