"""What long work may say while it runs: lines, progress, curves and pictures."""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from PIL import Image


class Progress(Protocol):
    """How far one piece of work has come."""

    def advance(self, n: int = 1, **shown: float | str) -> None:
        """Add `n` done units; `shown` values stand beside the bar."""


class Log(Protocol):
    """The only way in which the library speaks; whoever runs it decides where the words go."""

    def say(self, text: str) -> None:
        """Print one line."""

    def progress(
        self, what: str, total: int | None, *, done: int = 0, unit: str = "it"
    ) -> AbstractContextManager[Progress]:
        """Show progress of `what` towards `total` units, of which `done` were there before."""

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        """Add one row to the curves; `step` is an epoch, or what the caller counts."""

    def picture(self, image: "Image.Image", name: str = "") -> None:
        """Keep a picture beside the report."""


class _Nothing:
    def advance(self, n: int = 1, **shown: float | str) -> None:
        pass


class _Silent:
    def say(self, text: str) -> None:
        pass

    @contextlib.contextmanager
    def progress(self, what: str, total: int | None, *, done: int = 0, unit: str = "it") -> Iterator[Progress]:
        yield _Nothing()

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def picture(self, image: "Image.Image", name: str = "") -> None:
        pass


class Shifted:
    """Says all to another log, with the steps of its curves `by` later: of one of several that follow each other."""

    def __init__(self, log: Log, by: int) -> None:
        self.say, self.progress, self.picture = log.say, log.progress, log.picture
        self._log, self._by = log, by

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        """Add one row to the curves, so many steps later."""
        self._log.curve(step + self._by, values)


SILENT: Log = _Silent()
