"""Writes that are refused, or die, say why; and nothing of them is seen."""

import itertools
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.image_server import ImageServer
from tests.serving.app.running import served
from tests.serving.live import fed
from visnet.runs import runner
from visnet.serving.app import keys
from visnet.serving.app.rates import BURST_S, Rate
from visnet.serving.live.line import OFF, Line


@pytest.fixture(scope="module")
def door(fed_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, httpx.Client]]:
    """A service that refuses, so that its shop stays as it is."""
    shop = Path(shutil.copytree(fed_once, tmp_path_factory.mktemp("refusing") / "shop", symlinks=True))
    with fed.writing(shop) as (http, _):
        yield shop, http
        assert [http.get("/v1/products/p003").json()["attributes"]["title"]] == ["Product 3"]
    assert not list((shop / "inbox").glob("api-*"))


HAT = {"category": "hat", "photos": ["p003-0-0.png"]}
WRITES = [
    ("PUT", "/v1/products/p003", json.dumps(HAT)),
    ("DELETE", "/v1/products/p003", ""),
    ("POST", "/v1/products:batch", json.dumps({"product_id": "p003", "op": "delete"})),
]


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    detail: str = answer.json()["detail"]
    return detail


def test_a_write_needs_a_key_that_is_known_now(shop: Path) -> None:
    with fed.writing(shop) as (http, _):
        del http.headers["Authorization"]
        for method, path, body in WRITES:

            def write(said: str | bytes) -> httpx.Response:
                return http.request(method, path, content=body, headers={"Authorization": said})  # noqa: B023

            answer = http.request(method, path, content=body)
            assert "this needs a key; send a key as `Authorization: Bearer vn_" in refused(answer, 401)
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="visnet"'
            later = keys.add("later", shop / "data")
            for wrong in (f"Bearer {later[:-1]}", "Bearer é".encode(), f"Bearer {later}x"):
                assert "not known" in refused(write(wrong), 403)
            assert write(f"Basic {later}").status_code == 401
            assert write(f"bearer {later}").status_code == 202
            keys.remove("later", shop / "data")
            assert write(f"Bearer {later}").status_code == 403
        assert http.get("/v1/products/p004").status_code == 200, "whoever reads needs none"
        assert http.get("/v1/changes/b_0").status_code == 401


def test_keys_are_kept_as_hashes_for_their_owner_alone(tmp_path: Path) -> None:
    made = [keys.add(name, tmp_path) for name in ("one", "two")]
    assert all(re.fullmatch(r"vn_[\w-]{43}", key) for key in made)
    file = tmp_path / keys.FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(key in file.read_text() for key in made)
    assert [keys.Keys(tmp_path).holder(key) for key in (*made, "vn_")] == ["one", "two", None]
    with pytest.raises(ValueError, match="a key is called 'one' already"):
        keys.add("one", tmp_path)
    with pytest.raises(ValueError, match="no key is called 'three'; there are one, two"):
        keys.remove("three", tmp_path)
    file.write_text("[]")
    with pytest.raises(ValueError, match="add the keys anew"):
        keys.names(tmp_path)


def test_a_shop_may_answer_nothing_without_a_key(shop: Path) -> None:
    with fed.writing(shop, keys_for_reading=True) as (http, _):
        assert http.get("/v1/catalog").status_code == 200
        del http.headers["Authorization"]
        assert [http.get(path).status_code for path in ("/v1/catalog", "/", "/v1/photos/x")] == [401] * 3
        assert [http.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3


def test_who_writes_too_often_is_told_when_to_come_again(shop: Path) -> None:
    with fed.writing(shop, writes_per_s=1.0) as (http, _):
        records = [{"product_id": f"p{at:03d}", "op": "delete"} for at in range(8)]
        assert http.post("/v1/products:batch", content=json.dumps(records)).status_code == 202
        answer = http.delete("/v1/products/p003")
        assert "try again in 4 s" in refused(answer, 429)
        assert answer.headers["Retry-After"] == "4"
        another = {"Authorization": f"Bearer {keys.add('another', shop / 'data')}"}
        assert http.delete("/v1/products/p003", headers=another).status_code == 202
        assert http.get("/v1/catalog").status_code == 200


@pytest.mark.parametrize("processes", [1, 2])
def test_a_bucket_fills_at_its_rate_however_many_processes_take_of_it(processes: int, tmp_path: Path) -> None:
    now = [0.0]
    shared = tmp_path / "rates.sqlite" if processes > 1 else None
    rates = itertools.cycle([Rate(10, shared, lambda: now[0]) for _ in range(processes)])
    burst = int(10 * BURST_S)
    assert [next(rates).wait_s("a") for _ in range(burst)] == [0.0] * burst
    assert [next(rates).wait_s("a") for _ in range(processes)] == [pytest.approx(0.1)] * processes
    assert next(rates).wait_s("b") == 0
    now[0] = 0.1
    assert [next(rates).wait_s("a") > 0 for _ in range(3)] == [False, True, True]
    next(rates).owe("a", 10)
    assert next(rates).wait_s("a") == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("record", "status", "said"),
    [
        ("{", 400, "record: not JSON"),
        ("[]", 400, "record: a JSON object is wanted"),
        ('{"category": "hat", "category": "hat"}', 400, "a key stands twice"),
        ('{"category": "hat"}', 422, "upsert without photos"),
        ('{"photos": ["p003-0-0.png"]}', 422, "upsert without a category"),
        ('{"category": "hat", "photos": ["a.png"], "product_id": "p004"}', 422, "product_id and op may be left out"),
        (
            '{"category": "hat", "photos": ["a.png"], "updated_at": "2100-01-01"}',
            422,
            "further ahead of this machine's",
        ),
        ('{"category": "hat", "photos": ["a.png"], "price": "dear"}', 422, "price: a number is wanted"),
    ],
)
def test_a_record_that_the_feed_would_refuse_is_refused(
    door: tuple[Path, httpx.Client], record: str, status: int, said: str
) -> None:
    assert said in refused(door[1].put("/v1/products/p003", content=record), status)


def test_an_upload_that_is_no_photo_is_refused_before_anything_is_kept(door: tuple[Path, httpx.Client]) -> None:
    shop, http = door
    good, form = ("photo", ("photo", fed.picture(shop, "good", 0))), {"record": '{"category": "hat"}'}
    answer = http.put("/v1/products/p003", data=form, files=[good, ("photo", ("photo", b"no photo"))])
    assert "photo 2: not an image" in refused(answer, 415)
    assert refused(http.put("/v1/products/p003", data=form, files=[good] * 21), 400)


def filed(shop: Path) -> str:
    """Read what was put into the feed, in its order."""
    return "".join(path.read_text() for path in sorted((shop / "inbox").glob("api-*")))


def test_each_record_of_a_batch_is_judged_alone(shop: Path) -> None:
    lines = ['{"product_id": "p003", "op": "delete"}', "", "no JSON", '{"product_id": "p004", "op": "sell"}', "[]"]
    lines += [
        json.dumps({"product_id": "p005", "op": "upsert", "category": "hat", "photos": ["gone.png", "/etc/passwd"]})
    ]
    lines += [json.dumps({"product_id": "p006", "op": "upsert", **HAT, "photos": ["gone.png", "p003-0-0.png"]})]
    lines += [json.dumps({"product_id": "p003", "op": "delete", "updated_at": "2026-02-01"})]
    with fed.writing(shop) as (http, client):
        answer = http.post("/v1/products:batch", content="\n".join(lines))
        assert answer.status_code == 202
        batch = answer.json()["batch"]
        assert answer.headers["Location"] == f"/v1/changes/{batch}"
        told = {one.line: (one.product_id, one.state, one.reason) for one in client.wait(batch).changes}
        assert told[1] == ("p003", "visible", None)
        assert told[3] == ("", "dead", "not JSON")
        assert told[4] == ("p004", "dead", "op: upsert | delete is allowed")
        assert told[5] == ("", "dead", "not a JSON object")
        assert told[6][:2] == ("p005", "dead")
        assert told[6][2] == "no photo is left of it: gone.png: no such file; /etc/passwd: path outside the folder"
        assert told[7] == ("p006", "visible", None)
        assert told[8][1] == "dead"
        assert (told[8][2] or "").startswith("product 'p003' is known by a newer record")
        assert len(client.product("p005").photos) == 2, "it stays as it was"
        assert len(client.product("p006").photos) == 1
        for wrong, status in (("", 422), ("{}\n" * 1001, 422), ("[{]", 400), (b"\xff", 400)):
            assert refused(http.post("/v1/products:batch", content=wrong), status)
        assert "b_0" in refused(http.get("/v1/changes/b_0"), 404)
        fed.until(lambda: filed(shop).count("\n") == 2)
    assert [json.loads(line)["product_id"] for line in filed(shop).splitlines()] == ["p003", "p006"]


@pytest.mark.parametrize("allowed", [True, False])
def test_photos_of_the_web_come_by_the_lines_own_rules(shop: Path, allowed: bool) -> None:
    if allowed:
        table = '[raw_images.feed.download]\nallow_hosts = ["127.0.0.1"]\n'
        (shop / "params.toml").write_text(f"{(shop / 'params.toml').read_text()}\n{table}")
    with ImageServer(fed.picture(shop, "web", 0)) as web, fed.writing(shop) as (_, client):
        made = client.wait(client.put("web/1", {"category": "hat", "photos": [web.url("a.png")]}).batch)
        (change,) = made.changes
        assert change.state == ("visible" if allowed else "dead")
        if allowed:
            assert client.search(fed.picture(shop, "web", 0), limit=1).results[0].product_id == "web/1"
        else:
            assert "address not allowed" in (change.reason or "")


def off(shop: Path, old: str, new: str) -> "Line | str":
    params = shop / "params.toml"
    params.write_text(params.read_text().replace(old, new))
    try:
        return fed.line(shop)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (None, OFF),
        (('source = "feed"', 'source = "folder"'), 'writes are off: [raw_images] source is "folder"'),
        (('photos = "images"', 'pattern = "20*"'), "pattern '20*' does not take batches such as api-2026"),
    ],
)
def test_without_a_feed_writes_are_off_and_searches_go_on(shop: Path, change: Any, said: str) -> None:
    key = keys.add("test", shop / "data")
    line = OFF if change is None else off(shop, *change)
    with served(shop / "data", line=line) as http:
        for method, path, body in WRITES:
            answer = http.request(method, path, content=body, headers={"Authorization": f"Bearer {key}"})
            assert said in refused(answer, 409)
        assert http.get("/v1/products/p003").status_code == 200
    assert not (shop / "data" / "live.sqlite").exists()


def test_where_photos_are_on_the_web_none_can_be_put(shop: Path) -> None:
    line = off(shop, 'photos = "images"', 'photos = "https://example.com/photos"')
    with fed.writing(shop, line=line) as (http, _):
        files = [("photo", ("photo", fed.picture(shop, "good", 0)))]
        answer = http.put("/v1/products/p003", data={"record": '{"category": "hat"}'}, files=files)
        assert "put the photo there, and name its path or address in the record" in refused(answer, 409)
    assert runner.PARAMS.name in os.listdir(shop)
