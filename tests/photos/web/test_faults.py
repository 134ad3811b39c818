"""Every photo is answered once, with its bytes or with why it is lost, whatever the web does."""

import collections
import os
import time
from pathlib import Path

import pytest

from tests.image_server import FAULTS, ImageServer
from tests.photos.web.fetching import HASTY, fetch_all
from visnet.photos.web import download, request
from visnet.photos.web.download import Answer
from visnet.photos.web.options import FetchOptions

MENDED = {"good", "busy", "busy_2s", "busy_date", "busy_odd", "reset_once", "short_once", "slow_once", "moved"} | {
    "odd_cookie"
}
LOST = {
    "busy_always": "http 503",
    "gone": "http 404",
    "forbidden": "http 403",
    "nothing": "http 204",
    "html": "undecodable: not an image",
    "empty": "undecodable: empty file",
    "cut": "undecodable: truncated",
    "bomb": "undecodable: 30000 x 30000 px exceeds 64,000,000 px (max_pixels)",
    "reset": "connection reset",
    "short": "incomplete body",
    "slow": "timeout",
    "dribble": "timeout",
    "dribble_head": "timeout",
    "huge": "too large: over 2 MB",
    "circle": "too many redirects",
    "gzip_bomb": "too large: over 2 MB",
    "said_large": "too large: over 2 MB",
    **dict.fromkeys(("bad_head", "bad_status", "bad_chunk", "two_lengths", "long_head"), "malformed answer"),
}


SLOW = {"slow_once", "slow", "dribble", "dribble_head"}


@pytest.mark.parametrize(
    ("faults", "patience"),
    [((MENDED | LOST.keys()) - SLOW, {}), (SLOW, HASTY)],
    ids=["told by the answer", "told by the clock"],
)
def test_lost_are_exactly_the_photos_whose_fault_cannot_be_mended(
    photo: bytes, faults: set[str], patience: dict[str, float]
) -> None:
    plan = {f"{fault}-{i}.jpg": fault for fault in faults for i in range(3)}
    with ImageServer(photo, plan) as server:
        wanted = [(path, server.url(path)) for path in plan]
        answers = fetch_all(wanted, per_host=32, **patience)
    assert collections.Counter(a.photo_id for a in answers) == collections.Counter(plan.keys())
    assert {a.photo_id: a.lost for a in answers} == {path: LOST.get(fault) for path, fault in plan.items()}
    assert {a.data for a in answers} == {photo, None}
    tries = {fault: {server.hits[path] for path in plan if plan[path] == fault} for fault in faults}
    once, often = {"gone", "html", "bomb", "huge"}, {"busy_always", "reset", "short"}
    expected = dict.fromkeys(once, 1) | dict.fromkeys(often, 4) | dict.fromkeys(SLOW, download.TIMEOUT_TRIES)
    expected |= {"circle": request.REDIRECTS + 1}
    assert {f: tries[f] for f in faults & expected.keys()} == {f: {expected[f]} for f in faults & expected.keys()}


def test_every_fault_is_tried() -> None:
    assert MENDED | LOST.keys() == FAULTS.keys() - {"elsewhere"}
    assert download.TIMEOUT_TRIES == 2


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
        "sub": "is a folder",
        "pipe.jpg": "not a file",
        "empty.jpg": "undecodable: empty file",
        "text.jpg": "undecodable: not an image",
        "large.jpg": "too large: over 2 MB",
        "x" * 300: "name too long",
        "null\0byte": "bad path",
    }
    answers = fetch_all([(name, f"{tmp_path}/{name}") for name in expected], base=str(tmp_path))
    assert {a.photo_id: a.lost for a in answers} == expected
    assert {a.data for a in answers if a.lost is None} == {photo}


@pytest.mark.parametrize(
    "bad", [{"concurrency": 0}, {"per_host": 0}, {"timeout_s": 0.0}, {"tries": 0}, {"max_mb": -1.0}, {"retries": 3}]
)
def test_options_out_of_range_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        FetchOptions(**bad)


def test_an_answer_is_either_data_or_a_reason() -> None:
    for data, lost in ((None, None), (b"x", "gone")):
        with pytest.raises(ValueError, match="photo '7'"):
            Answer("7", data, lost)


def test_what_may_pass_is_told_from_what_is_final(photo: bytes) -> None:
    plan = {fault: fault for fault in ("busy_always", "slow", "reset", "short", "gone", "forbidden", "html", "circle")}
    with ImageServer(photo, plan) as server:
        answers = fetch_all([(fault, server.url(fault)) for fault in plan], tries=1, **HASTY)
    assert {a.photo_id for a in answers if a.passing} == {"busy_always", "slow", "reset", "short"}
