"""Memory as a budget in bytes: whoever will need much of it waits until there is room, before anything is allocated."""

import collections
import contextlib
import ctypes
import functools
import mmap
import threading
from collections.abc import Iterator

# What all photos that are being decoded at once may take together. With the interpreter, Arrow, Lance and one batch of
# files (`BATCH_BYTES`, a few times over while it is written) a stage stays below 1.5 GB.
DECODING_BYTES = 640 << 20
LARGE_BYTES = 8 << 20
KEPT_BYTES = 32 << 20  # the most that glibc allows
SERVICE_ARENAS = 2
_MMAP_THRESHOLD, _TRIM_THRESHOLD, _ARENA_MAX = -3, -1, -8  # glibc's malloc.h
BATCH_BYTES = 64 << 20  # files or crops that are held at once, to be written in one commit


class Budget:
    """So many bytes for all threads together, given out in the order in which they were asked for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._waiting: collections.deque[object] = collections.deque()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def hold(self, wanted: int) -> Iterator[None]:
        """Wait for `wanted` bytes and hold them; what is larger than the budget is held alone."""
        taken, turn = min(max(wanted, 0), self.size), object()
        with self._changed:
            self._waiting.append(turn)
            try:
                # First come, first served: else a large photo would wait for as long as small ones come.
                self._changed.wait_for(lambda: self._waiting[0] is turn and self._free >= taken)
                self._free -= taken
            finally:
                self._waiting.remove(turn)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += taken
                self._changed.notify_all()


DECODING = Budget(DECODING_BYTES)


def is_there(size: int) -> bool:
    """Tell whether the machine gives this process `size` more bytes just now; they are given back at once."""
    try:
        mmap.mmap(-1, max(size, 1)).close()
    except (OSError, MemoryError):
        return False
    return True


@functools.cache
def return_what_is_freed() -> None:
    """Have glibc give large blocks back to the system as soon as they are freed.

    Left to itself, it keeps them from the first one on, for each thread, and whole pictures are lost between the
    pieces: after 2,000 photos a stage held 1.8 GB, of which 0.3 were in use.
    """
    _mallopt(_MMAP_THRESHOLD, LARGE_BYTES)


def keep_what_is_freed() -> None:
    """Have glibc keep freed blocks of up to `KEPT_BYTES`, for what asks for the same sizes over and over: a network.

    Left to itself, it maps every large block anew, and the kernel zeroes it page by page; on a CPU, more than half of
    an embedding's time went there. Larger blocks are mapped whatever one asks for.
    """
    _mallopt(_MMAP_THRESHOLD, KEPT_BYTES)
    _mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def keep_what_a_service_frees() -> None:
    """Settle which of the two a service wants, that decodes and embeds all the time: it keeps what is freed.

    Its blocks are of a few sizes that come again with the next request, and what is lost between the pieces is bounded
    by the number of arenas that glibc may have. Over 240 photos of 1 to 12 megapixels, decoded in four threads, a batch
    of 8 is embedded in half the time (51 ms, 103 when all is returned), for 1.4 GB instead of 1.0.
    """
    return_what_is_freed()  # which works once, and changes nothing where it is called later
    keep_what_is_freed()
    _mallopt(_ARENA_MAX, SERVICE_ARENAS)


def return_what_was_freed() -> None:
    """Have glibc give back, once, what it keeps of freed blocks: after something large was let go."""
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _mallopt(parameter: int, value: int) -> None:
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(parameter, value)
