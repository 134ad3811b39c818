"""Work beside requests: between its steps it leaves the processor to them, so that none waits for all of it."""

import contextlib
import threading
import time
from collections.abc import Iterator

_here = threading.local()


@contextlib.contextmanager
def paced(share: float) -> Iterator[None]:
    """Have this thread work for at most this share of the time, in 0..1, until the block ends."""
    _here.share, _here.since_s = share, time.thread_time()
    try:
        yield
    finally:
        del _here.share


def breathe() -> None:
    """Between two steps: where this thread is `paced`, wait as long as what it did since the last time asks for."""
    share = getattr(_here, "share", None)
    if share is not None:
        time.sleep((time.thread_time() - _here.since_s) * (1 / share - 1))
        _here.since_s = time.thread_time()
