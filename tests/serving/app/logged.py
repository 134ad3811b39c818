"""What a service is asked where it writes JSON lines, and what these lines must and must not say."""

import json
from pathlib import Path

import httpx

from tests.serving.app.running import photo_of, search

SECRETS = ("vn_secretkey", "secret-product", "secret-query", "https://secret.example/photo.jpg")
FIELDS = {"time", "level", "logger", "message", "request_id", "method", "route", "status", "ms", "version"}


def ask(url: str, shop: Path) -> None:
    """Ask for this and that, with what is nobody's business."""
    headers = {"Authorization": f"Bearer {SECRETS[0]}", "X-Request-Id": "asked-1"}
    with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
        assert search(client, photo_of(shop, "p003-0-1")).is_success
        client.get(f"/v1/products/{SECRETS[1]}", params={"q": SECRETS[2]})
        client.get(f"/{SECRETS[1]}")
        client.post("/v1/search", data={"url": SECRETS[3]})
        client.put(f"/v1/products/{SECRETS[1]}", json={})


def check(written: str, processes: int) -> None:
    """Hold all that was written by a service that ended to what it was asked."""
    assert not [secret for secret in SECRETS if secret in written]
    told = [json.loads(line) for line in written.splitlines()]
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
    for one in asked:
        assert set(one) == FIELDS
        assert one["level"] == "info"
        assert 0 < one["ms"] < 30_000
    health = [one for one in told if one.get("route") == "/readyz"]
    assert health
    assert len({one["request_id"] for one in health}) == len(health)
    assert sum(one["message"] == "version 1 answers" for one in told) == processes
