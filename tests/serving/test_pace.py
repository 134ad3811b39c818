"""Work beside requests: how long a thread that is paced leaves the processor to others, and that no other waits."""

import threading
import time

import pytest

from visnet.serving import pace


def work(seconds: float) -> None:
    until_s = time.thread_time() + seconds
    while time.thread_time() < until_s:
        pass


@pytest.mark.parametrize(("share", "wanted"), [(0.2, [0.04, 0.08]), (0.5, [0.01, 0.02]), (1.0, [0.0, 0.0])])
def test_between_steps_it_waits_as_long_as_its_share_asks_for(
    share: float, wanted: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    with pace.paced(share):
        for seconds in (0.01, 0.02):
            work(seconds)
            pace.breathe()
    assert waited == pytest.approx(wanted, rel=0.5, abs=0.002)


def test_a_thread_that_is_not_paced_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    with pace.paced(0.2):
        other = threading.Thread(target=pace.breathe)
        other.start()
        other.join()
    pace.breathe()
    assert waited == []
