"""What ends a training before its last epoch: a signal, and epochs that get no better."""

import io
import os
import signal
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch
from torch import Tensor

from tests.training.toy import Diary, Tiny, digest, train
from visnet import zoo
from visnet.training import Fitted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_checkpoint_and_is_raised_again(
    number: signal.Signals, undisturbed: tuple[Fitted, Diary], tmp_path: Path
) -> None:
    class Asked(Exception):
        pass

    def handler(*_: object) -> None:
        raise Asked

    before = signal.signal(number, handler)
    try:
        log = Diary(at_step=16, act=lambda: os.kill(os.getpid(), number))
        with pytest.raises(Asked):
            train(tmp_path, log, checkpoint_every_s=99.0)
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
    assert log.done == 16
    log = Diary()
    assert digest(train(tmp_path, log)) == digest(undisturbed[0])
    assert "after 1 epochs and 6 steps" in log.said[0]


def test_a_second_signal_waits_for_a_checkpoint_that_is_being_written(
    undisturbed: tuple[Fitted, Diary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's writer ends in an error of its own, `unexpected pos`, where an exception runs through it."""
    write = torch.save

    class Interrupted(io.BytesIO):
        """A file during whose first bytes the training is interrupted twice."""

        def write(self, data: Any) -> int:
            if log.done >= 12 and not self.tell():
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            return super().write(data)

    begun, ended = [], []

    def interrupted(content: object, file: BinaryIO) -> None:
        begun.append(log.done)
        with Interrupted() as slow:
            write(content, slow)
            file.write(slow.getbuffer())
        ended.append(log.done)

    log = Diary()
    monkeypatch.setattr("torch.save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, log)
    monkeypatch.undo()
    assert begun[-1] >= 12
    assert ended == begun
    again = Diary()
    assert digest(train(tmp_path, again)) == digest(undisturbed[0])
    assert f"after 1 epochs and {ended[-1] - 10} steps" in again.said[0]


def test_it_stops_when_nothing_gets_better(tmp_path: Path) -> None:
    class Still(Tiny):
        def forward(self, photos: Tensor) -> Tensor:
            self.body.eval()
            return super().forward(photos)

    still = zoo.Optimizer(name="sgd", lr=1e-30, momentum=0.0)
    log = Diary()
    fitted = train(
        tmp_path, log, model=Still(), optimizer=still, epochs=9, patience=2, monitor="validation_triplet_accuracy"
    )
    assert (fitted.epochs, fitted.best_epoch, fitted.stopped_early) == (3, 1, True)
    assert len(log.rows) == 3
    assert train(tmp_path, model=Still(), optimizer=still, epochs=9, patience=2,
                 monitor="validation_triplet_accuracy").stopped_early  # fmt: skip
