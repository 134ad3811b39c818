"""How a download goes: as fast as its caller, never more at once than allowed, and ended at once."""

import signal
import subprocess
import sys
import time

import pytest

from tests.image_server import Gauge, ImageServer
from tests.photos.web.fetching import QUICK, assert_no_thread_left, fetch_all
from visnet.photos.web import download
from visnet.photos.web.options import FetchOptions


def test_never_more_requests_at_once_than_allowed(photo: bytes) -> None:
    total = Gauge()
    with (
        ImageServer(photo, pause_s=0.1, total=total) as one,
        ImageServer(photo, pause_s=0.1, total=total) as two,
    ):
        wanted = [(f"{server.server_port}-{i}", server.url(f"{i}.jpg")) for server in (one, two) for i in range(20)]
        answers = fetch_all(wanted, concurrency=5, per_host=3)
        assert all(a.data == photo for a in answers)
        assert (one.gauge.most, two.gauge.most, total.most) == (3, 3, 5)
        # The busy host's queue does not hold up the other: they were asked side by side from the start.
        assert min(at for _, at, _ in two.asked) < sorted(at for _, at, _ in one.asked)[6]


def test_a_slow_caller_slows_the_download_instead_of_filling_the_memory(photo: bytes) -> None:
    with ImageServer(photo) as server:
        wanted = [(str(i), server.url(f"{i}.jpg")) for i in range(40)]
        answers = download.fetch(wanted, options=FetchOptions(**QUICK, concurrency=4))
        next(answers)
        time.sleep(0.5)
        assert sum(server.hits.values()) <= 1 + 4
        assert len(list(answers)) == 39


def test_nothing_happens_before_the_first_answer_is_asked_for(photo: bytes) -> None:
    with ImageServer(photo) as server:
        answers = download.fetch([("a", server.url("a"))], options=FetchOptions())
        time.sleep(0.1)
        assert not server.hits
        answers.close()
        assert list(download.fetch([], options=FetchOptions())) == []


@pytest.mark.parametrize("taken", [1, 5])
def test_an_abandoned_download_stops_at_once(photo: bytes, taken: int) -> None:
    plan = {f"{i}.jpg": "slow" for i in range(5, 30)}
    with ImageServer(photo, plan) as server:
        wanted = [(str(i), server.url(f"{i}.jpg")) for i in range(30)]
        answers = download.fetch(
            wanted, options=FetchOptions(timeout_s=30.0, deadline_s=60.0, allow_hosts=["127.0.0.1"])
        )
        got = [next(answers) for _ in range(taken)]
        began = time.monotonic()
        answers.close()
        assert time.monotonic() - began < 20  # not the 30 s of the slow photos
        assert_no_thread_left()
        time.sleep(0.5)  # for what was on its way to the server
        asked = len(server.asked)
        time.sleep(0.5)
        assert len(server.asked) == asked < len(wanted)
    assert all(a.data == photo for a in got)


def test_progress_counts_the_lost(photo: bytes) -> None:
    steps: list[tuple[int, object]] = []

    class Bar:
        def advance(self, n: int = 1, **shown: object) -> None:
            steps.append((n, shown["lost"]))

    class Log:
        def progress(self, what: str, total: int, **_: object) -> "Log":
            assert (what, total) == ("photos", 3)
            return self

        def __enter__(self) -> Bar:
            return Bar()

        def __exit__(self, *_: object) -> None:
            pass

    with ImageServer(photo, {"a": "gone", "b": "gone"}) as server:
        list(
            download.fetch(
                [(p, server.url(p)) for p in "abc"], options=FetchOptions(allow_hosts=["127.0.0.1"]), log=Log()
            )
        )
    assert [n for n, _ in steps] == [1, 1, 1]
    assert steps[-1] == (1, 2)


@pytest.mark.parametrize(("error", "raised"), [(RuntimeError("a bug"), ExceptionGroup), (MemoryError(), MemoryError)])
def test_a_fault_of_ours_reaches_the_caller(
    error: Exception, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(download, "find_file", broken)
    with pytest.raises(raised) as caught:
        fetch_all([("a", "a.jpg")], base="/")
    assert raised is MemoryError or caught.group_contains(RuntimeError, match="a bug")


def test_ctrl_c_ends_the_process_at_once(photo: bytes) -> None:
    program = """
import sys
from visnet.photos.web.download import fetch
from visnet.photos.web.options import FetchOptions
print("ready", flush=True)
list(fetch([(str(i), sys.argv[1] + str(i)) for i in range(100)], options=FetchOptions(timeout_s=60.0, deadline_s=60.0,
     allow_hosts=["127.0.0.1"])))
"""
    with ImageServer(photo, {str(i): "slow" for i in range(100)}) as server:
        child = subprocess.Popen(
            [sys.executable, "-c", program, server.url("")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored by what a shell's & started
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 90
        while not server.hits and time.monotonic() < deadline:
            time.sleep(0.05)
        assert server.hits
        began = time.monotonic()
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=50)
        assert time.monotonic() - began < 50  # not the 60 s of the slow photos
    assert child.returncode == -signal.SIGINT
    assert errors.strip().endswith("KeyboardInterrupt")
