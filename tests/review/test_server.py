"""The review page's server: what it shows is what was sampled, and what is marked stands in the file at once."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.review.marking import TRIPLETS, crop, mark
from visnet import review
from visnet.storage.table import Table

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_shows_each_kind_in_turn_with_the_tables_own_photos(client: httpx.Client, data: Path) -> None:
    about = client.get("/triplets").json()
    assert (about["split"], about["total"]) == ("train", 9)
    assert [tuple(one) for one in about["triplets"]] == TRIPLETS[:8]
    assert about["crops"][crop("b", 1)] == {
        "photo_id": "b1.jpg", "product_id": "b", "category": "hat", "colour": "", "side": "shop", "split": "train",
    }  # fmt: skip
    kept = Table(data / "crops" / "crops.lance").read(["crop_id", "image"]).to_pylist()
    shown = {one["crop_id"]: one["image"] for one in kept if one["crop_id"] in about["crops"]}
    assert len(shown) == 8
    for name, image in shown.items():
        assert client.get("/photo", params={"crop": name}).content == image
    for name in (crop("d", 0), "", "../../exclusions.csv"):  # d is a crop, but not on this page
        assert client.get("/photo", params={"crop": name}).status_code == 404


def test_the_page_is_whole_and_asks_no_other_server(client: httpx.Client) -> None:
    for address in ("/", "/page.css", "/judging.js", "/main.js"):
        answer = client.get(address)
        assert answer.status_code == 200
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "//" not in answer.text.replace("// ", "")
    assert client.get("/server.py").status_code == 404


def test_a_mark_is_in_the_file_when_it_is_answered_and_can_be_taken_back(client: httpx.Client, path: Path) -> None:
    assert client.get("/marks").json() == []
    assert not path.exists()
    q, p, n, _ = TRIPLETS[0]
    mark(client, "positive", p, q)
    answer = mark(client, "photo", n)
    assert answer.json() == [["photo", n, ""], ["positive", q, p]]
    assert path.read_text() == f"what,a,b\nphoto,{n},\npositive,{q},{p}\n"
    path.write_text(f"what,a,b\nphoto,{n},\npositive,{q},{p}\nphoto,by hand,\n")  # an edit meanwhile is kept
    mark(client, "photo", n, on=False)
    assert path.read_text() == f"what,a,b\nphoto,by hand,\npositive,{q},{p}\n"


def test_marks_that_come_at_once_are_all_kept(client: httpx.Client, path: Path) -> None:
    wanted = [("positive", q, p) for q, p, _, _ in TRIPLETS] + [("negative", q, n) for q, _, n, _ in TRIPLETS]
    with ThreadPoolExecutor(8) as pool:
        assert all(answer.status_code == 200 for answer in pool.map(lambda row: mark(client, *row), wanted))
    assert len(path.read_text().splitlines()) == 1 + len(set(wanted)) == 10


Q, P, N, _ = TRIPLETS[0]
REFUSED = {
    "unknown sort": (400, {}, {"what": "query", "a": Q, "b": "", "on": True}),
    "pair that is no triplet's": (400, {}, {"what": "positive", "a": Q, "b": N, "on": True}),
    "crop that is not shown": (400, {}, {"what": "photo", "a": crop("d", 0), "b": "", "on": True}),
    "neither on nor off": (400, {}, {"what": "photo", "a": Q, "b": "", "on": "yes"}),
    "missing field": (400, {}, {"what": "photo", "a": Q}),
    "no object": (400, {}, ["photo", Q]),
    "list for a sort": (400, {}, {"what": ["photo"], "a": Q, "b": "", "on": True}),
    "number for an id": (400, {}, {"what": "photo", "a": 7, "b": "", "on": True}),
    "other origin": (403, {"origin": "http://example.org"}, {"what": "photo", "a": Q, "b": "", "on": True}),
    "no origin to name": (403, {"origin": "null"}, {"what": "photo", "a": Q, "b": "", "on": True}),
    "other host": (400, {"host": "example.org"}, {"what": "photo", "a": Q, "b": "", "on": True}),
    "a form's type": (415, {"content-type": "text/plain"}, {"what": "photo", "a": Q, "b": "", "on": True}),
}


def test_marks_that_the_page_cannot_make_are_refused(client: httpx.Client, path: Path) -> None:
    for case, (status, headers, body) in REFUSED.items():
        answer = client.post("/marks", content=json.dumps(body), headers={"content-type": "application/json"} | headers)
        assert answer.status_code == status, case
    for body in (b"\xff{", b"[" * 16_000, b'{"what": "photo", "a": ' + b"[" * 8000, b'{"what": []}', b"7", b"null"):
        assert client.post("/marks", content=body, headers={"content-type": "application/json"}).status_code == 400
    assert not path.exists()


def test_a_body_that_no_mark_has_is_not_read_to_its_end(client: httpx.Client, path: Path) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 200 << 20:
            sent += 1 << 16
            yield bytes(1 << 16)

    for body in (bytes(1 << 20), endless()):
        with contextlib.suppress(httpx.WriteError):  # the connection was closed while it was sent
            assert client.post("/marks", content=body, headers={"content-type": "application/json"}).status_code == 413
    assert sent < 100 << 20
    assert not path.exists()
    mark(client, "photo", Q)


def test_a_file_that_cannot_be_written_is_named(client: httpx.Client, path: Path) -> None:
    path.mkdir()
    answer = mark(client, "photo", Q)
    assert answer.status_code == 409
    assert f"{path}: Is a directory" in answer.text


def test_a_file_that_cannot_be_read_is_not_written_over(client: httpx.Client, path: Path) -> None:
    path.write_text("what,a,b\nphotos,x,\n")
    for answer in (client.get("/marks"), mark(client, "photo", Q)):
        assert answer.status_code == 409
        assert "exclusions.csv: line 2: what is 'photos'; allowed are" in answer.text
    assert path.read_text() == "what,a,b\nphotos,x,\n"


def test_a_busy_port_is_named_in_one_line(data: Path, path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match=f"^--port {port} is in use; name another one, or 0 for any$"):
            review.serve(port=port, data=data, path=path)
    with pytest.raises(ValueError, match=r"^--port 70000 cannot be had"):
        review.serve(port=70000, data=data, path=path)


def test_ctrl_c_stops_it_cleanly(data: Path, path: Path) -> None:
    code = f"from pathlib import Path; from visnet import review; review.serve(port=0, data=Path({str(data)!r}))"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        url = process.stdout.readline().split()[-1]
        assert httpx.get(url).status_code == 200
        process.send_signal(signal.SIGINT)
        said, trouble = process.communicate(timeout=20)
    assert process.returncode == 0
    assert said.endswith("Stopped.\n")
    assert not trouble
