"""Threads that sleep until there is work: the caller's own, and as many more as torch would use."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def run(tasks: Sequence[Callable[[], object]]) -> list[object]:
    """Run tasks beside each other, the first in this thread; raises what one of them raised."""
    if len(tasks) <= 1:
        return [task() for task in tasks]
    with _lock:
        pool = _pools.setdefault(len(tasks), ThreadPoolExecutor(len(tasks) - 1, "nearest"))
        others = [pool.submit(task) for task in tasks[1:]]
    try:
        first = tasks[0]()
    finally:
        results = [other.result() for other in others]  # none may outlive what it writes to
    return [first, *results]


def _forget() -> None:
    """A forked process has none of its parent's threads, and perhaps its lock as it was held."""
    global _lock
    _lock = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):  # where processes fork
    os.register_at_fork(after_in_child=_forget)
