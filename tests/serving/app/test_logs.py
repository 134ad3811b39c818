"""What a service writes where JSON lines are asked for: a real process is asked things, and its lines are read back."""

import json
import logging
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.serving.app import logged
from tests.serving.app.processes import process, ready
from tests.serving.app.running import served
from tests.workspace import environment
from visnet.serving.app import logs


def test_each_request_is_an_object_a_line_and_says_no_more_than_its_route(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the environment asks for it; by option, and of two processes: see `test_switch`."""
    monkeypatch.setattr("tests.apart.environment", lambda: {**environment(), "VISNET_LOG_FORMAT": "json"})
    with process(shop) as (child, _):
        url = json.loads(child.line())["url"]
        ready(url)
        logged.ask(url, shop)
        child.signal(signal.SIGTERM)
        done = child.end(60)
    assert (done.returncode, done.stderr) == (0, "")
    logged.check(done.stdout, processes=1)


def record(message: str, error: Exception | None = None) -> dict[str, Any]:
    info = None if error is None else (type(error), error, error.__traceback__)
    made = logging.LogRecord("visnet.serving", logging.ERROR, __file__, 1, message, (), info)
    told: dict[str, Any] = json.loads(logs.JsonLines().format(made))
    return told


def test_a_key_or_an_address_that_an_error_names_is_left_out_and_its_place_is_not() -> None:
    try:
        raise ValueError("https://user:pass@photos.example/a?sig=1 and vn_abc-DEF_1")
    except ValueError as error:
        told = record("fetching s3://bucket/x failed\nin two lines", error)
    assert told["message"] == "fetching … failed\nin two lines"
    assert "ValueError: … and vn_…" in told["trace"]
    assert Path(__file__).name in told["trace"]
    assert "request_id" not in told


def test_what_is_logged_within_a_request_names_it_and_nothing_after_it_does() -> None:
    with logs.noted("r1"):
        with logs.noted("r2"):
            assert record("inner")["request_id"] == "r2"
        assert record("outer")["request_id"] == "r1"
    assert "request_id" not in record("after")


def test_the_log_of_a_fault_has_the_id_that_the_answer_names(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from visnet.serving.app.current import Current

    monkeypatch.setattr(Current, "photos", lambda self: 1 // 0)
    with served(place / "data") as client:
        answer = client.get("/v1/catalog")
        deadline_s = time.monotonic() + 10
        while not caplog.records and time.monotonic() < deadline_s:
            time.sleep(0.01)
    assert answer.status_code == 500
    log = logging.getLogger("visnet.serving")
    set_to = (log.disabled, log.getEffectiveLevel(), logging.root.manager.disable, logging.root.handlers)
    assert answer.json()["request_id"] in caplog.text, set_to
    assert os.fspath(place) not in answer.text
