"""Whatever cannot be answered is a problem document that says what is allowed, and nothing of the machine."""

import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.photos.pictures import saved
from tests.serving.app.running import jpeg, photo_of, search, served
from visnet.serving import versions
from visnet.serving.app import guard
from visnet.serving.app.engine import Engine
from visnet.serving.app.steps import Embedder

SMALL = jpeg(Image.new("RGB", (20, 10), "red"))
REFUSED: dict[str, tuple[int, dict[str, Any], list[bytes], str]] = {
    "nothing": (400, {}, [], "wanted is either photo"),
    "both": (400, {"query_id": "q_1"}, [SMALL], "wanted is either photo"),
    "unknown query": (404, {"query_id": "q_1"}, [], "query 'q_1' is not kept; the newest 10,000 are"),
    "no picture": (415, {}, [b"<html>"], "photo: not an image; JPEG, PNG"),
    "empty": (415, {}, [b""], "photo: empty file"),
    "drawing": (415, {}, [b'<svg xmlns="http://www.w3.org/2000/svg"/>'], "SVG is a drawing"),
    "second one": (415, {}, [SMALL, b"x"], "photo 2: not an image"),
    "nine": (422, {}, [SMALL] * 9, "photo: 9 files were given; allowed are 1 to 8"),
    "unknown category": (
        404,
        {"category": "shoe"},
        [SMALL],
        "category 'shoe' is not in the catalog; there are bag, hat",
    ),
    "limit 0": (422, {"limit": 0}, [SMALL], "limit: Input should be greater than or equal to 1"),
    "limit of no number": (400, {"limit": "many"}, [SMALL], "limit: Input should be a valid integer"),
    "too deep": (422, {"limit": 24, "offset": 2047}, [SMALL], "offset + limit is 2071; allowed is 2,048 at most"),
    "probability": (422, {"min_probability": 1.5}, [SMALL], "min_probability: Input should be less than or equal to 1"),
    "box of words": (400, {"box": "a,b,c,d"}, [SMALL], "wanted are four numbers: left,top,right,bottom"),
    "box of nothing": (400, {"box": "nan,0,1,1"}, [SMALL], "wanted are four numbers"),
    "box upside down": (422, {"box": "8,8,2,2"}, [SMALL], "allowed is left < right and top < bottom"),
    "box beside": (422, {"box": "30,0,40,9"}, [SMALL], "of the photo (20 x 10 px)"),
}


def problem(answer: httpx.Response, status: int) -> str:
    """Hold an answer to the form of all problems; return its detail."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert (said["type"], said["status"]) == ("about:blank", status)
    assert said["request_id"] == answer.headers["x-request-id"]
    assert not re.search(r"/tmp|\.py|Traceback|https?://|data/", said["detail"]), said["detail"]
    detail: str = said["detail"]
    return detail


@pytest.mark.parametrize("case", REFUSED)
def test_what_was_wrong_and_what_is_allowed(client: httpx.Client, case: str) -> None:
    status, fields, photos, why = REFUSED[case]
    assert why in problem(search(client, *photos, **fields), status)


def test_unknown_things_are_named(client: httpx.Client) -> None:
    for address, why in {
        "/v1/products/p999": "product 'p999' is not in the catalog",
        "/v1/products/a/b/similar": "product 'a/b' is not in the catalog",
        "/v1/photos/0": "photo '0' is not in the catalog",
        "/v1/queries/q_9/photo": "query 'q_9' is not kept",
        "/v2": "Nothing matches",
    }.items():
        assert why in problem(client.get(address), 404)
    problem(client.get("/v1/photos/0", params={"side": 9000}), 422)
    problem(client.get("/v1/search"), 405)
    assert "wanted are two in all" in problem(client.post("/v1/compare", data={"product_id": "p000"}), 400)


def test_a_form_that_is_none(client: httpx.Client) -> None:
    for kind, status in {
        "multipart/form-data": 400,
        "multipart/form-data; boundary=x": 400,
        "application/json": 415,
        "text/plain": 415,
    }.items():
        for path in ("/v1/search", "/v1/compare"):
            problem(client.post(path, content=b"{}" * 99, headers={"content-type": kind}), status)


def test_pixels_are_counted_before_any_is_decoded(client: httpx.Client) -> None:
    bomb = saved(Image.new("1", (60_000, 2_000)), "PNG")
    assert len(bomb) < 50_000
    assert "60000 x 2000 px exceeds 64,000,000 px" in problem(search(client, bomb), 413)


def test_more_bytes_than_allowed_are_not_read_to_their_end(client: httpx.Client) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
        while sent < 400_000_000:
            sent += 1 << 16
            yield bytes(1 << 16)

    kind = {"content-type": "multipart/form-data; boundary=x"}
    for body in (bytes(20_000_001), endless()):
        try:
            answer = client.post("/v1/search", content=body, headers=kind)
        except httpx.WriteError:  # the connection was closed while it was sent
            continue
        assert "may have 20,000,000 bytes together" in problem(answer, 413)
    assert sent < 300_000_000
    assert search(client, SMALL).status_code == 200


def test_a_request_that_does_not_come_is_given_up(place: Path) -> None:
    with served(place / "data", body_s=0.2) as client, socket.socket() as slow:
        slow.settimeout(20)
        slow.connect((client.base_url.host, client.base_url.port))
        head = "POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n"
        slow.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n-".encode())
        assert slow.recv(100).startswith(b"HTTP/1.1 408 ")


def test_when_too_many_search_others_are_asked_to_come_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_go, begun = threading.Event(), threading.Event()
    embed = Embedder.squares

    def slow(self: Embedder, squares: Any) -> Any:
        if threading.current_thread().name.startswith("network"):
            begun.set()
            assert may_go.wait(20)
        return embed(self, squares)

    monkeypatch.setattr(Embedder, "squares", slow)
    with served(place / "data", concurrency=1) as client:
        answers: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: answers.append(search(client, SMALL)))
        asking.start()
        assert begun.wait(20)
        second = search(client, SMALL)
        assert "as many as are allowed" in problem(second, 503)
        assert second.headers["retry-after"] == "1"
        assert client.get("/v1/products/p000").status_code == 200, "what needs no network is answered"
        may_go.set()
        asking.join()
        assert [answer.status_code for answer in answers] == [200]
        assert search(client, SMALL).status_code == 200


def test_a_fault_of_ours_is_logged_and_not_told(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Engine, *given: object, **named: object) -> None:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(Engine, "rank", broken)
    assert "a fault of the service's own" in problem(search(client, SMALL), 500)
    assert "/secret/path" in caplog.text


def test_a_file_of_queries_that_cannot_be_had_costs_no_search(shop: Path) -> None:
    (shop / "data/queries.sqlite").mkdir()
    with served(shop / "data") as client:
        found = search(client, SMALL)
        assert (found.status_code, found.json()["query_id"]) == (200, None)


def test_a_version_that_cannot_be_opened_leaves_the_one_before(shop: Path) -> None:
    with served(shop / "data", watch_s=0.05) as client:
        assert client.get("/readyz").json()["catalog_version"] == 1
        publish = shop / "data/publish"
        shutil.copytree(publish / "versions/000001", publish / "versions/000002")
        facts = json.loads((publish / "versions/000002/version.json").read_text())
        (publish / "versions/000002/version.json").write_text(json.dumps(facts | {"version": 2}))
        rows = next((publish / "versions/000002/embeddings.lance/data").iterdir())
        size = rows.stat().st_size
        rows.unlink()
        rows.write_bytes(b"x" * size)
        versions.switch(publish, 2)
        deadline_s = time.monotonic() + 20
        while 'visnet_switches_total{outcome="failed"} 1' not in client.get("/metrics").text:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        assert search(client, SMALL).json()["lineage"]["catalog_version"] == 1
        assert client.get("/readyz").status_code == 200


def test_it_answers_under_no_foreign_name(client: httpx.Client) -> None:
    for name in ("shop.example", "127.0.0.1.shop.example", "", "[", "localhost.evil:80"):
        problem(client.get("/v1/catalog", headers={"host": name}), 421)
    for name in ("localhost", "127.0.0.1:9", "[::1]:80"):
        assert client.get("/v1/catalog", headers={"host": name}).status_code == 200
    for path in ("/healthz", "/readyz", "/metrics"):  # a cluster asks each container by its own address
        assert client.get(path, headers={"host": "10.1.2.3:8080"}).status_code == 200


def test_every_answer_is_careful_and_has_an_id(client: httpx.Client, place: Path) -> None:
    answers = [client.get(address) for address in ("/", "/healthz", "/v1/catalog", "/nothing", "/static/index.html")]
    for answer in [*answers, search(client, photo_of(place, "p000-0-0"))]:
        policy = answer.headers["content-security-policy"]
        assert "'unsafe" not in policy
        assert "img-src 'self' blob: data:" in policy
        assert {name: answer.headers[name] for name in guard.CAREFUL} == guard.CAREFUL
        assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])
    given = client.get("/healthz", headers={"x-request-id": "order-7"})
    assert given.headers["x-request-id"] == "order-7"
    forged = client.get("/healthz", headers={"x-request-id": "a b<script>"})
    assert re.fullmatch("[0-9a-f]{16}", forged.headers["x-request-id"])


def test_no_other_page_may_read_it(client: httpx.Client) -> None:
    headers = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    for answer in (client.options("/v1/search", headers=headers), client.get("/v1/catalog", headers=headers)):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_before_anything_is_published_it_lives_but_is_not_ready(tmp_path: Path) -> None:
    with served(tmp_path / "data") as client:
        assert client.get("/healthz").status_code == 200
        for answer in (client.get("/readyz"), client.get("/v1/catalog"), search(client, SMALL)):
            assert problem(answer, 503) == "no version of the catalog is ready to answer yet"
            assert answer.headers["retry-after"] == "1"
