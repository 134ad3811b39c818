"""Python's collector of cycles, and the libraries' objects, half a million or more, that it need not look through."""

import atexit
import contextlib
import gc
from collections.abc import Iterator


def settle() -> None:
    """Have the collector pass over what is there by now, for the rest of the process's life.

    To look through it would stop every request for a quarter of a second, again and again. What a version has holds no
    cycles: it is freed without the collector.
    """
    gc.collect()
    _pass_over()


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Have no collection while a process of one task imports what it needs, and pass over that afterwards."""
    gc.disable()
    try:
        yield
    finally:
        _pass_over()
        gc.enable()


def _pass_over() -> None:
    gc.freeze()
    atexit.register(gc.unfreeze)  # else Triton's library lists what it holds as leaked
