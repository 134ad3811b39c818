"""Items that processes of a Ray cluster make in an order of their own, given as they come.

For what Ray Data is not made for: work whose outcome another try may change, so that nothing which was given is made
again, and which is divided by what it asks, not into equal blocks.
"""

import contextlib
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from visnet.engines.cluster import imported, portable

GIVEN, GIVEN_BYTES, GIVEN_S = 256, 8 << 20, 0.5  # of one answer of a process: what it has made when one is reached
FRUITLESS = 3  # processes lost in a row that gave nothing


class Made(NamedTuple):
    """An item, the key that it was made for, and how many bytes it has, about."""

    key: str
    item: Any
    size_bytes: int


Make = Callable[[Sequence[str]], Iterator[Made]]  # called in a process of its own; it travels by pickle


@dataclass
class _Share:
    """What one process makes: the keys that it has not given yet."""

    make: Make
    missing: dict[str, None]
    cpus: int = 1
    fruitless: int = 0
    process: Any = None


def streamed(shares: Sequence[tuple[Make, Sequence[str]]]) -> Generator[Any]:
    """Yield the items that each `make` makes for its keys, in a process for each share, spread over the nodes.

    A cluster must be connected. Each process has a CPU; when one is lost, with its node or alone, another makes what it
    had not given. Whatever a `make` raises is raised here; `RuntimeError` when process after process is lost. All
    processes end with the iterator.
    """
    ray = imported()
    lost = (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError, ray.exceptions.NodeDiedError)
    waiting: dict[Any, _Share] = {}  # by what the process was asked for
    with contextlib.ExitStack() as stack:

        def begin(share: _Share) -> None:
            placed = ray.remote(_Process).options(num_cpus=share.cpus, scheduling_strategy="SPREAD")
            share.process = placed.remote(share.make, list(share.missing))
            stack.callback(_end, ray, share.process)
            waiting[share.process.give.remote()] = share

        for make, keys in shares:
            begin(_Share(make, dict.fromkeys(keys)))
        while waiting:
            (asked,), _ = ray.wait(list(waiting), num_returns=1)
            share = waiting.pop(asked)
            try:
                given, ended, error = ray.get(asked)
            except lost as why:
                _end(ray, share.process)
                share.cpus = 0  # those of the nodes that are left may all be taken
                share.fruitless += 1
                if share.fruitless >= FRUITLESS:
                    raise RuntimeError(f"lost {FRUITLESS} processes of the cluster in turn: {_line(why)}") from None
                begin(share)
                continue
            if ended:
                _end(ray, share.process)
            else:
                waiting[share.process.give.remote()] = share
            share.fruitless = 0
            for one in given:
                share.missing.pop(one.key, None)
                yield one.item
            if error is not None:
                raise error


class _Process:
    """An actor that makes the items of a share as they are asked for."""

    def __init__(self, make: Make, keys: Sequence[str]) -> None:
        self._made = _all(make, keys)

    def give(self) -> tuple[list[Made], bool, Exception | None]:
        """Return the next items, whether they are the last ones, and what went wrong after them."""
        given: list[Made] = []
        held, until_s = 0, time.monotonic() + GIVEN_S
        try:
            for one in self._made:
                given.append(one)
                held += one.size_bytes
                if len(given) >= GIVEN or held >= GIVEN_BYTES or time.monotonic() >= until_s:
                    return given, False, None
        except Exception as error:
            return given, True, portable(error)
        return given, True, None


def _all(make: Make, keys: Sequence[str]) -> Iterator[Made]:
    yield from make(keys)  # when the first one is asked for, so that whoever asks learns of an error


def _end(ray: Any, process: Any) -> None:
    with contextlib.suppress(Exception):  # it has ended, or there is no cluster any more
        ray.kill(process)


def _line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
