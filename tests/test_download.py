"""visnet.download: every photo is answered once, with its bytes or with why it is lost, whatever the web does."""

import collections
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.image_server import FAULTS, Gauge, ImageServer
from visnet import download, request
from visnet.download import Answer
from visnet.request import Options

QUICK = {"timeout_s": 1.0, "deadline_s": 2.0, "backoff_s": 0.02, "max_mb": 2.0}
MENDED = {"good", "busy", "busy_2s", "busy_date", "busy_odd", "reset_once", "short_once", "slow_once", "moved"}
LOST = {
    "busy_always": "http 503",
    "gone": "http 404",
    "forbidden": "http 403",
    "nothing": "http 204",
    "html": "undecodable: not an image",
    "empty": "undecodable: empty file",
    "cut": "undecodable: truncated",
    "bomb": "undecodable: 30000 x 30000 px exceeds 64,000,000 px",
    "reset": "connection reset",
    "short": "incomplete body",
    "slow": "timeout",
    "dribble": "timeout",
    "dribble_head": "timeout",
    "huge": "too large: over 2 MB",
    "circle": "too many redirects",
    "moved_to_disk": "bad address",
}


@pytest.fixture(scope="module")
def photo() -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(3).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def no_proxy_and_no_thread_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield
    assert_no_thread_left()


def assert_no_thread_left() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("visnet-download"):
            thread.join(2)
            assert not thread.is_alive(), thread


def fetch_all(wanted: list[tuple[str, str]], **options: object) -> list[Answer]:
    return list(download.fetch(wanted, options=Options(**{**QUICK, **options})))


def test_lost_are_exactly_the_photos_whose_fault_cannot_be_mended(photo: bytes) -> None:
    assert MENDED | LOST.keys() == FAULTS.keys()
    plan = {f"{fault}-{i}.jpg": fault for fault in FAULTS for i in range(3)}
    with ImageServer(photo, plan) as server:
        wanted = [(path, server.url(path)) for path in plan]
        answers = fetch_all(wanted, per_host=32)
    assert collections.Counter(a.photo_id for a in answers) == collections.Counter(plan.keys())
    assert {a.photo_id: a.lost for a in answers} == {path: LOST.get(fault) for path, fault in plan.items()}
    assert {a.data for a in answers} == {photo, None}
    tries = {fault: {server.hits[path] for path in plan if plan[path] == fault} for fault in FAULTS}
    assert tries["gone"] == tries["html"] == tries["bomb"] == tries["huge"] == {1}
    assert tries["busy_always"] == tries["reset"] == tries["short"] == {4}
    assert tries["slow"] == tries["dribble"] == tries["dribble_head"] == {download.TIMEOUT_TRIES} == {2}
    assert tries["circle"] == {request.REDIRECTS + 1}


def test_photos_survive_a_commas_a_query_and_odd_letters_in_the_address(photo: bytes) -> None:
    with ImageServer(photo, {"a,w=224.jpg": "good"}) as server:
        paths = ["a,w=224.jpg", "b.jpg?size=1,2&x=%20y", "größe 1.jpg", "c.jpg#part"]
        answers = fetch_all([(p, server.url(p)) for p in paths])
        seen = {path for path, _, _ in server.asked}
    assert {a.photo_id: a.data for a in answers} == dict.fromkeys(paths, photo)
    assert seen == {"a,w=224.jpg", "b.jpg", "gr%C3%B6%C3%9Fe%201.jpg", "c.jpg"}


def test_retry_after_is_honoured_up_to_a_limit(photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "RETRY_AFTER_MAX_S", 0.5)  # the server asks for 2 s
    with ImageServer(photo, {"a": "busy_2s", "b": "busy_odd"}) as server:
        answers = fetch_all([("a", server.url("a")), ("b", server.url("b"))], user_agent="a shop's robot")
        times = {p: [at for path, at, _ in server.asked if path == p] for p in "ab"}
        agents = {agent for _, _, agent in server.asked}
    assert [a.lost for a in answers] == [None, None]
    assert 0.45 < times["a"][1] - times["a"][0] < 1.9
    assert agents == {"a shop's robot"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3", 3), ("0", 0), ("999", 10), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Fri, 31 Dec 9999 23:59:59 GMT", 10)]
    + [(odd, None) for odd in ("", "soon", "-1", "1.5", "²", "Wed, 99 Oct 2015 07:28:00 GMT")],
)
def test_retry_after_header(text: str, expected: float | None) -> None:
    assert request._retry_after_s(text) == expected


def test_a_photo_without_an_end_is_dropped_at_the_limit(photo: bytes) -> None:
    with ImageServer(photo, {"a": "huge"}) as server:
        began = time.monotonic()
        assert [a.lost for a in fetch_all([("a", server.url("a"))], deadline_s=20.0)] == ["too large: over 2 MB"]
        assert time.monotonic() - began < 18  # not cut by its deadline of 20 s
        assert server.sent < 30e6  # what had been sent when the client hung up; the rest lay in buffers


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
        answers = download.fetch(wanted, options=Options(**QUICK, concurrency=4))
        next(answers)
        time.sleep(0.5)
        assert sum(server.hits.values()) <= 1 + 4
        assert len(list(answers)) == 39


def test_nothing_happens_before_the_first_answer_is_asked_for(photo: bytes) -> None:
    with ImageServer(photo) as server:
        answers = download.fetch([("a", server.url("a"))], options=Options())
        time.sleep(0.1)
        assert not server.hits
        answers.close()
        assert list(download.fetch([], options=Options())) == []


@pytest.mark.parametrize("taken", [1, 5])
def test_an_abandoned_download_stops_at_once(photo: bytes, taken: int) -> None:
    plan = {f"{i}.jpg": "slow" for i in range(5, 30)}
    with ImageServer(photo, plan) as server:
        wanted = [(str(i), server.url(f"{i}.jpg")) for i in range(30)]
        answers = download.fetch(wanted, options=Options(timeout_s=30.0, deadline_s=60.0))
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


def test_dead_hosts_are_named_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with ImageServer(b"") as server:
        closed = server.url("")  # nobody listens there once the server is gone
    patient = fetch_all([(str(i), f"{closed}{i}") for i in range(40)], tries=2, per_host=2)
    assert {a.lost for a in patient} == {"no connection"}  # a minute has not passed
    monkeypatch.setattr(download, "HOST_PATIENCE_S", 0.05)
    answers = fetch_all([(str(i), f"{closed}{i}") for i in range(40)], tries=2, per_host=2, backoff_s=0.02)
    reasons = collections.Counter(a.lost for a in answers)
    assert set(reasons) == {"no connection", "host unreachable"}
    assert 16 <= reasons["no connection"] <= 18
    names = {"no-such-host": "http://visnet.invalid/1.jpg"}
    assert [a.lost for a in fetch_all(list(names.items()), tries=1, timeout_s=5.0)] == ["unknown host"]


def test_odd_addresses_are_lost_not_fatal() -> None:
    odd = ["ftp://a/b.jpg", "http://", "http://[::1/x", "://", "file:///etc/hostname", "http://\0/"]
    reasons = {a.photo_id: a.lost for a in fetch_all([(url, url) for url in odd], tries=1)}
    assert reasons == dict.fromkeys(odd, "bad address")


def test_files_of_this_disk(photo: bytes, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a,b 1.jpg").write_bytes(photo)
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "large.jpg").write_bytes(bytes(2_000_001))
    os.mkfifo(tmp_path / "pipe.jpg")
    expected = {
        "sub/a,b 1.jpg": None,
        "sub/../sub/a,b 1.jpg": None,
        "none.jpg": "no such file",
        "text.jpg/x.jpg": "no such file",
        "sub": "not a file",
        "pipe.jpg": "not a file",
        "empty.jpg": "undecodable: empty file",
        "text.jpg": "undecodable: not an image",
        "large.jpg": "too large: over 2 MB",
        "x" * 300: "not readable",
        "null\0byte": "not readable",
    }
    answers = fetch_all([(name, f"{tmp_path}/{name}") for name in expected])
    assert {a.photo_id: a.lost for a in answers} == expected
    assert {a.data for a in answers if a.lost is None} == {photo}


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
        list(download.fetch([(p, server.url(p)) for p in "abc"], options=Options(), log=Log()))
    assert [n for n, _ in steps] == [1, 1, 1]
    assert steps[-1] == (1, 2)


def test_an_error_of_the_library_reaches_the_caller(photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(download, "read_file", broken)
    with pytest.raises(ExceptionGroup) as caught:
        fetch_all([("a", "a.jpg")])
    assert caught.group_contains(RuntimeError, match="a bug")


def test_ctrl_c_ends_the_process_at_once(photo: bytes) -> None:
    program = """
import sys
from visnet.download import fetch
from visnet.request import Options
print("ready", flush=True)
list(fetch([(str(i), sys.argv[1] + str(i)) for i in range(100)], options=Options(timeout_s=60.0, deadline_s=60.0)))
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


@pytest.mark.parametrize(
    "bad", [{"concurrency": 0}, {"per_host": 0}, {"timeout_s": 0.0}, {"tries": 0}, {"max_mb": -1.0}, {"retries": 3}]
)
def test_options_out_of_range_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Options(**bad)


def test_an_answer_is_either_data_or_a_reason() -> None:
    for data, lost in ((None, None), (b"x", "gone")):
        with pytest.raises(ValueError, match="photo '7'"):
            Answer("7", data, lost)


def test_an_unchanged_photo_is_an_answer_of_its_own() -> None:
    assert Answer("7", None, None, unchanged=True).data is None
    with pytest.raises(ValueError, match="photo '7'"):
        Answer("7", b"x", None, unchanged=True)


@pytest.mark.parametrize("marks", [("ETag",), ("Last_Modified",), ("ETag", "Last_Modified")])
def test_a_photo_with_a_known_mark_is_sent_only_if_it_changed(photo: bytes, marks: tuple[str, ...]) -> None:
    with ImageServer(photo, {"moved.jpg": "moved"}) as server:
        server.marks = marks
        wanted = [(path, server.url(path)) for path in ("same.jpg", "other.jpg", "moved.jpg")]
        known = {a.photo_id: a.mark for a in fetch_all(wanted)}
        assert all(bool(mark.etag) == ("ETag" in marks) for mark in known.values())
        assert all(bool(mark.last_modified) == ("Last_Modified" in marks) for mark in known.values())
        server.photos["other.jpg"] = photo + b"\0"
        server.dates["other.jpg"] = "Tue, 06 Jan 2026 00:00:00 GMT"
        again = {a.photo_id: a for a in download.fetch(wanted, options=Options(**QUICK), known=known)}
    assert {p: (a.data, a.unchanged) for p, a in again.items()} == {
        "same.jpg": (None, True),
        "other.jpg": (photo + b"\0", False),
        "moved.jpg": (None, True),  # the condition goes along with a redirect
    }
    assert again["same.jpg"].mark == known["same.jpg"]
    assert again["other.jpg"].mark != known["other.jpg"]
    assert server.bodies == {"same.jpg": 1, "other.jpg": 2, "moved.jpg": 1}


def test_a_server_that_marks_nothing_is_asked_without_a_condition(photo: bytes) -> None:
    with ImageServer(photo) as server:
        wanted = [("a", server.url("a"))]
        known = {a.photo_id: a.mark for a in fetch_all(wanted)}
        (answer,) = download.fetch(wanted, options=Options(**QUICK), known=known)
    assert (known, answer.data) == ({"a": request.NO_MARK}, photo)


def test_a_file_is_read_again_when_its_time_or_size_differ(photo: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(photo)
    (first,) = fetch_all([("a", str(path))])
    known = {"a": first.mark}
    (second,) = download.fetch([("a", str(path))], options=Options(), known=known)
    assert second.unchanged
    os.utime(path, ns=(0, 0))
    (third,) = download.fetch([("a", str(path))], options=Options(), known=known)
    assert (third.data, third.unchanged) == (photo, False)


def test_what_may_pass_is_told_from_what_is_final(photo: bytes) -> None:
    plan = {fault: fault for fault in ("busy_always", "slow", "reset", "short", "gone", "forbidden", "html", "circle")}
    with ImageServer(photo, plan) as server:
        answers = fetch_all([(fault, server.url(fault)) for fault in plan], tries=1)
    assert {a.photo_id for a in answers if a.passing} == {"busy_always", "slow", "reset", "short"}
