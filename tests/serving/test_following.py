"""Versions in an object store by command: published by `deploy --to`, and followed by a service."""

import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.apart import within
from tests.object_store import SECRET
from tests.serving.app.processes import process, ready
from tests.serving.app.running import photo_of
from tests.serving.test_remote import change, parts
from visnet.commands import catalog as commands
from visnet.serving import remote
from visnet.serving.following import following


def test_deploy_publishes_what_it_serves_and_refuses_an_address_before_it_does_anything(
    shop: Path, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_switched", lambda done: print(done))
    with within(shop):
        with pytest.raises(ValueError, match=r"allowed is s3://BUCKET/FOLDER"):
            commands.deploy("ftp://elsewhere/a")
        assert capsys.readouterr().out == ""
        commands.deploy(url)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Version 1 is served"
    assert lines[1].startswith(f"Version 1 of {url} is published: ")


def test_a_service_follows_and_goes_on_when_the_store_is_away(
    shop: Path, url: str, s3: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remote.push(url, shop / "data")
    photo, place = photo_of(shop, "p003-0-1"), tmp_path / "elsewhere"
    place.mkdir()

    def version(address: str) -> int:
        found: int = (
            httpx.get(f"{address}v1/catalog", trust_env=False).raise_for_status().json()["lineage"]["catalog_version"]
        )
        return found

    with process(place, "--follow", url) as (child, _):
        address = child.line(1).split()[-1]
        ready(address)
        assert version(address) == 1
        change(shop, 1)
        remote.push(url, shop / "data")
        until_s = time.monotonic() + 30
        while version(address) != 2:
            assert time.monotonic() < until_s
            time.sleep(0.2)
        s3.kill()
        try:
            time.sleep(12)  # it has looked, and did not believe it at once
            answer = httpx.post(f"{address}v1/search", files={"photo": photo}, timeout=30, trust_env=False)
            assert answer.status_code == 200
            child.signal(signal.SIGINT)
            errors = child.end(30).stderr
            assert errors.count("is not followed: ") == 1
            assert SECRET not in errors
            with following(url, place / "data"):  # as when it is started again
                assert "does not answer" in capsys.readouterr().out
        finally:
            s3.start()
    assert parts(place) == parts(shop)
