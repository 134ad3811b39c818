"""Ask a running training to stop at the end of its step."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_ASKED = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """A signal asked for the end, and the training stands in its checkpoint."""


class StopSignals:
    """Note SIGINT and SIGTERM instead of dying from them; a second one acts at once, or as soon as a file is written.

    Only a main thread can listen.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._before: dict[int, Any] = {}
        self._writing = False
        self._waiting: int | None = None

    def remember(self) -> None:
        """Keep the handlers of this moment for `release`."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in _ASKED}

    def listen(self) -> None:
        """Take the signals over, from whoever has them now."""
        for number in self._before:
            signal.signal(number, self._note)

    def release(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Have a second signal wait for the end: what it interrupts is not always prepared to be (PyTorch's files)."""
        self._writing = True
        try:
            yield
        finally:
            self._writing = False
            if self._waiting is not None:
                self._act(self._waiting)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked is None:
            self.asked = number
        elif self._writing:
            self._waiting = number
        else:
            self._act(number)

    def _act(self, number: int) -> None:
        self.release()
        signal.raise_signal(number)
