"""`GET /v1/products/{id}/trace`: what the line's tables, the feed's files, dvc.lock and the service itself say."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.apart import within
from tests.serving.app.running import served
from tests.serving.live import fed
from visnet.client import Client
from visnet.commands import trace as command
from visnet.runs import runner
from visnet.serving import versions
from visnet.serving.app.server import pages_elsewhere
from visnet.serving.batch_of import Origin
from visnet.storage.table import Table

RUN = "f3c3e4b3a4a14a41b40bf93bb22bec52"


@pytest.fixture(scope="module")
def fed_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shop = fed.make(tmp_path_factory.mktemp("traced") / "shop", 6)
    facts = versions.folder(shop / "data/publish", 1) / versions.FACTS
    told = json.loads(facts.read_text())
    facts.write_text(json.dumps(told | {"dagster_run": "a-run", "mlflow_run": RUN}))
    page = {"mlflow_run_id": RUN, "mlflow_page": f"#/experiments/1/runs/{RUN}"}
    (shop / "reports/trained_model.json").write_text(json.dumps(page))
    out = {"path": "data/crops", "md5": "0123456789abcdef.dir"}
    (shop / "dvc.lock").write_text(json.dumps({"stages": {"crops": {"outs": [out]}}}))
    return shop


@pytest.fixture(scope="module")
def both(fed_shop: Path) -> Iterator[tuple[httpx.Client, Client]]:
    with within(fed_shop):
        origin = Origin.of(runner.read_params())
    ui = {"dagster_ui": "https://dagster.example", "mlflow_ui": "https://mlflow.example"}
    origin = origin.model_copy(update={"metadata": str(fed_shop / origin.metadata)})
    with fed.writing(fed_shop, origin=origin, searches_per_s=1000, **ui) as clients:
        yield clients


def test_a_product_is_traced_from_its_record_to_its_answers(both: tuple[httpx.Client, Client], fed_shop: Path) -> None:
    said = both[0].get("/v1/products/p003/trace").raise_for_status().json()
    record = json.loads((fed_shop / "inbox/0001.jsonl").read_text().splitlines()[3])
    assert said["record"]["op"] == record["op"]
    assert said["record"]["updated_at"] == record["updated_at"].replace("Z", "+00:00")
    assert (said["record"]["batch"], said["record"]["lost"]) == ("0001.jsonl", None)
    crops = Table(fed_shop / "data/crops/crops.lance").read(
        ["crop_id", "content"], "product_id = 'p003' AND side = 'shop'"
    )
    wanted = sorted((row["crop_id"], row["content"][:12]) for row in crops.to_pylist())
    assert [(one["photo_id"].partition(".")[0], one["crop"]) for one in said["photos"]] == wanted
    vectors = Table(fed_shop / "data/catalog_embeddings/embeddings.lance").read(["crop_id", "content"]).to_pylist()
    vector_of = {row["crop_id"]: row["content"][:12] for row in vectors}
    assert [one["vector"] for one in said["photos"]] == [vector_of[crop_id] for crop_id, _ in wanted]
    assert all(both[0].get(f"/v1/photos/{one['photo_id']}").is_success for one in said["photos"])
    version = said["version"]
    assert version["dagster_url"] == "https://dagster.example/runs/a-run"
    assert version["mlflow_url"] == f"https://mlflow.example/#/experiments/1/runs/{RUN}"
    assert (version["catalog_version"], version["checked_out"]) == (1, True)
    assert version["data"] == {"data/crops": "0123456789abcdef.dir"}
    assert (said["changes"], said["now"]) == ([], {"state": "answers", "changed": False, "photos": 2})
    with within(fed_shop):
        printed = command.run("p003")
    for word in ("batch 0001.jsonl", wanted[0][1], "a-run", RUN, version["model"], "data/crops 0123456789ab"):
        assert word in printed


def test_changes_since_and_what_is_answered_now_are_told_but_not_why_a_change_is_dead(
    both: tuple[httpx.Client, Client], fed_shop: Path
) -> None:
    http, client = both
    put = client.put("p002", {"category": "hat"}, fed.picture(fed_shop, "p002", 1))
    client.wait(put.batch)
    seen = client.trace("p002")
    assert (seen.now.state, seen.now.changed, seen.now.photos) == ("answers", True, 1)
    assert [(one.op, one.state, one.batch) for one in seen.changes] == [("upsert", "visible", put.batch)]
    client.delete("p001")
    fed.until(lambda: client.trace("p001").now.state == "withdrawn")
    assert len(client.trace("p001").photos) == 2, "the version still has it"
    dead = client.put("p900", {"category": "hat", "photos": ["nowhere.png"]})
    assert client.wait(dead.batch).changes[0].reason
    told = http.get("/v1/products/p900/trace").json()
    assert (told["changes"][0]["state"], told["now"]["state"], told["photos"]) == ("dead", "absent", [])
    assert "nowhere" not in json.dumps(told)
    assert str(fed_shop) not in json.dumps(told)


def test_an_unknown_product_is_not_found_and_a_key_is_wanted_as_by_all_reads(
    both: tuple[httpx.Client, Client], place: Path
) -> None:
    assert both[0].get("/v1/products/p'9/trace").status_code == 404
    with served(place / "data", keys_for_reading=True) as client:
        assert client.get("/v1/products/p000/trace").status_code == 401


def test_it_is_counted_with_the_searches_of_a_client(place: Path) -> None:
    with served(place / "data", searches_per_s=0.01) as client:
        statuses = [client.get("/v1/products/p000/trace").status_code for _ in range(3)]
        assert client.get("/v1/products/p000").status_code == 200
    assert statuses[-1] == 429


def test_without_addresses_or_params_there_are_no_links_and_no_batch(client: httpx.Client) -> None:
    said = client.get("/v1/products/p000/trace").json()
    assert (said["version"]["dagster_url"], said["version"]["mlflow_url"]) == (None, None)
    assert said["record"]["lost"] == "the service was not told what its line reads"


def test_an_address_of_pages_is_one_or_refused_by_its_variable() -> None:
    assert pages_elsewhere({}) == {"dagster_ui": "", "mlflow_ui": ""}
    assert pages_elsewhere({"VISNET_MLFLOW_UI": "https://m.example/x/"})["mlflow_ui"] == "https://m.example/x"
    for given in ("javascript:alert(1)", "m.example", "https://", "https://u:p@m.example", "http://[::1"):
        with pytest.raises(ValueError, match=r"^VISNET_DAGSTER_UI: .*an http or https address"):
            pages_elsewhere({"VISNET_DAGSTER_UI": given})
