"""Ask a running training to stop at the end of its step."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_ASKED = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """A signal asked for the end, and a checkpoint has all that was done."""


class StopSignals:
    """Note SIGINT and SIGTERM instead of dying from them; a second one acts at once, or once a file is written."""

    def __init__(self) -> None:
        self.asked: int | None = None
        self._before: dict[int, Any] = {}
        self._writing = False
        self._waiting: int | None = None

    def listen(self) -> None:
        """Take the signals over. Only a main thread can; elsewhere nothing is noted."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _ASKED}

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


@contextlib.contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Listen to signals within; one that has `Interrupted` what runs there is raised again, for whom it was meant."""
    signals = StopSignals()
    signals.listen()
    try:
        yield signals
    except Interrupted:
        signals.release()
        signal.raise_signal(signals.asked or signal.SIGINT)
        raise KeyboardInterrupt from None  # a handler that only took note: there is still no model to give back
    finally:
        signals.release()
