"""`visnet trace`: the same record, photos and runs that the line's own tables, the feed and the service have."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.apart import within
from tests.refreshing import put_stock, refresh, stock
from tests.serving.app.running import served
from tests.serving.live import fed
from visnet.client import Client, Event
from visnet.commands import trace
from visnet.errors import NotFound
from visnet.serving import catalog, versions
from visnet.storage.table import Table


def traced(shop: Path, product_id: str) -> dict[str, list[str]]:
    """Return what is said, by the word that a line begins with."""
    found: dict[str, list[str]] = {}
    with within(shop):
        for line in trace.run(product_id).splitlines():
            found.setdefault(line[:10].strip(), []).append(line[11:])
    return found


def test_a_product_is_traced_to_its_photos_version_and_model(shop: Path) -> None:
    said = traced(shop, "p003")
    with catalog.open_current(shop / "data") as version:
        facts = version.facts()
    crops = Table(shop / "data/crops/crops.lance").read(["crop_id", "photo_id", "content"], "product_id = 'p003'")
    vectors = Table(shop / "data/catalog_embeddings/embeddings.lance").read(["crop_id", "content"]).to_pylist()
    vector_of = {row["crop_id"]: row["content"] for row in vectors}
    wanted = []
    for one in sorted(crops.to_pylist(), key=lambda row: row["crop_id"]):
        crop, vector = one["crop_id"], vector_of[one["crop_id"]]
        wanted.append(f"{one['photo_id']}: crop {crop[:12]} ({one['content'][:12]}), vector {vector[:12]}")
    assert said["Photo"] == wanted
    assert said["Product"] == ["p003 (hat, red)"]
    assert said["Record"] == ["of the source table (stock.csv)"]
    assert said["Version"] == [f"1, published {facts['created_at']}, in a shell"]
    assert said["Model"][0].startswith(f"{facts['model'][:8]} in ")
    assert (said["Change"], said["Events"]) == (["none since, by the service"], ["none told"])


def test_runs_are_named_where_they_made_it(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_RUN_ID", "a-run")
    monkeypatch.setenv("VISNET_DAGSTER_UI", "http://dagster.example/")
    shutil.rmtree(shop / "data/publish")
    (shop / "data/published.json").unlink()
    refresh(shop, "publish")
    assert versions.facts(shop / "data/publish", 1)["dagster_run"] == "a-run"
    assert traced(shop, "p003")["Version"][0].endswith(", Dagster run http://dagster.example/runs/a-run")
    with served(shop / "data") as http, Client(str(http.base_url)) as client:
        assert client.product("p003").lineage.dagster_run == "a-run"


def test_a_record_is_found_in_its_batch_and_what_the_service_was_told_since_is_listed(tmp_path: Path) -> None:
    shop = fed.make(tmp_path / "shop", 4)
    (shop / "inbox" / "0002.jsonl").write_bytes((shop / "inbox" / "0001.jsonl").read_bytes())
    (shop / "inbox" / "0003.jsonl").write_text(
        '{"product_id": "p003", "op": "delete", "updated_at": "2026-01-04T00:00:00Z"}'
    )
    (record,) = traced(shop, "p003")["Record"]
    assert record == "upsert, seq 1767571200000000, of 2026-01-05T00:00:00+00:00, batch 0002.jsonl"
    with fed.writing(shop) as (_, client):
        said = client.put("p003", {"category": "hat", "title": "Another"}, fed.picture(shop, "p003", 1))
        client.wait(said.batch)
        client.delete("p001")
        found = client.search(fed.picture(shop, "p003", 1))
        client.tell(Event(query_id=str(found.query_id), product_id="p003", kind="click"))
    told = traced(shop, "p003")
    assert re.fullmatch(rf"upsert, batch {said.batch} line 1, accepted \S+, visible since \S+", told["Change"][0])
    assert told["Events"] == ["click 1"]
    assert traced(shop, "p001")["Change"][0].startswith("delete, batch b_")
    (shop / "inbox" / "0001.jsonl").unlink()
    (shop / "inbox" / "0002.jsonl").unlink()
    assert traced(shop, "p003")["Record"][0].endswith(", in no batch that the inbox still has")


def test_what_dvc_has_hashed_is_named_while_it_is_what_is_served(shop: Path) -> None:
    out = {"path": "data/crops", "md5": "0123456789abcdef.dir"}
    assert traced(shop, "p003")["DVC"] == ["there is no dvc.lock that says more"]
    (shop / "dvc.lock").write_text(json.dumps({"stages": {"crops": {"outs": [out, {**out, "path": "reports/x"}]}}}))
    assert traced(shop, "p003")["DVC"] == ["data/crops 0123456789ab"]


def refusal(shop: Path, product_id: str) -> str:
    with within(shop), pytest.raises(NotFound) as refused:
        trace.run(product_id)
    return str(refused.value)


def test_a_product_that_no_version_has_is_refused_in_a_line_which_says_what_the_source_has_of_it(shop: Path) -> None:
    nowhere = "product {!r} is not in version 1, and no change names it; "
    assert refusal(shop, "p''9") == nowhere.format("p''9") + "nor does the source, as it was last read"
    put_stock(shop, {**stock(24), "p100": 0, "p102": 0})
    for broken in ("p100-0-0.png", "p100-0-1.png"):
        (shop / "images" / broken).write_bytes(b"no photo")
    refresh(shop, "raw_images")
    photos = Table(shop / "data/raw_images/photos.lance").read(["photo_id", "lost"], "lost IS NOT NULL").to_pylist()
    first = min(photos, key=lambda row: str(row["photo_id"]))
    lost = f"of its 3 photos 2 are lost: {first['photo_id']}: {first['lost']}"
    assert refusal(shop, "p100") == nowhere.format("p100") + lost
    there = "its photos are there (2): not published yet, or left out on the way"
    assert refusal(shop, "p102") == nowhere.format("p102") + there
    shutil.rmtree(shop / "data/raw_images")
    assert refusal(shop, "p102") == nowhere.format("p102").removesuffix("; "), "a place that only serves"
