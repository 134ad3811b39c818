"""What a service writes where JSON lines are asked for: a real process is asked things, and its lines are read back."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving.app.running import photo_of, search, served
from tests.serving.app.test_switch import ready
from tests.workspace import ROOT, environment
from visnet.serving.app import logs

SECRETS = ("vn_secretkey", "secret-product", "secret-query", "https://secret.example/photo.jpg")


def lines_of(shop: Path, words: list[str], variables: dict[str, str]) -> list[dict[str, Any]]:
    """Serve, ask for this and that with what is nobody's business, stop, and return all that was written."""
    command = [sys.executable, "-m", "visnet", "serve", "--port", "0", *words]
    env = {**environment(), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **variables}
    with subprocess.Popen(
        command, cwd=shop, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        first = child.stdout.readline()
        try:
            url = json.loads(first)["url"]
            ready(url)
            headers = {"Authorization": f"Bearer {SECRETS[0]}", "X-Request-Id": "asked-1"}
            with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
                assert search(client, photo_of(shop, "p003-0-1")).is_success
                client.get(f"/v1/products/{SECRETS[1]}", params={"q": SECRETS[2]})
                client.get(f"/{SECRETS[1]}")
                client.post("/v1/search", data={"url": SECRETS[3]})
                client.put(f"/v1/products/{SECRETS[1]}", json={})
            child.send_signal(signal.SIGTERM)
            rest, errors = child.communicate(timeout=60)
        finally:
            child.kill()
    assert errors == ""
    assert not [secret for secret in SECRETS if secret in first + rest]
    return [json.loads(line) for line in (first + rest).splitlines()]


@pytest.mark.parametrize("several", [False, True])
def test_each_request_is_an_object_a_line_and_says_no_more_than_its_route(shop: Path, several: bool) -> None:
    told = lines_of(shop, *(([], {"VISNET_LOG_FORMAT": "json"}) if not several else (
        ["--log-format", "json", "--workers", "2"], {})))  # fmt: skip
    assert told[0]["message"].startswith("Version 1 of the catalog")
    assert told[-1]["message"] == "Stopped."
    asked = [one for one in told if one["logger"] == "visnet.requests" and one["request_id"] == "asked-1"]
    assert [(one["method"], one["route"], one["status"], one["version"]) for one in asked] == [
        ("POST", "/v1/search", 200, 1),
        ("GET", "/v1/products/{product_id:path}", 404, 1),
        ("GET", "other", 404, None),
        ("POST", "/v1/search", 403, None),
        ("PUT", "other", 403, None),
    ]
    fields = {"time", "level", "logger", "message", "request_id", "method", "route", "status", "ms", "version"}
    for one in asked:
        assert set(one) == fields
        assert one["level"] == "info"
        assert 0 < one["ms"] < 30_000
    health = [one for one in told if one.get("route") == "/readyz"]
    assert health
    assert len({one["request_id"] for one in health}) == len(health)
    assert sum(one["message"] == "version 1 answers" for one in told) == 1 + several


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
