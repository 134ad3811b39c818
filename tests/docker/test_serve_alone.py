"""The search service, and its commands, with the packages of requirements-serve.lock and no other."""

import ast
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.docker import alone
from tests.refreshing import refresh
from tests.serving.app.processes import ready, started
from tests.serving.app.running import photo_of, whole
from tests.serving.app.test_categorize import put
from tests.serving.live.fed import FEED
from tests.workspace import ROOT, environment
from visnet.pipeline import extras
from visnet.serving import remote
from visnet.serving.app import keys
from visnet.serving.app.server import application
from visnet.serving.app.settings import Settings
from visnet.tracking.connection import DATABASE, HOME

ALONE = ("-m", "tests.docker.alone")


@pytest.fixture(scope="module")
def telling(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop that serves all that can be, a model of category paths on a trunk of timm's included."""
    shop = whole(published, tmp_path_factory.mktemp("alone"))
    put(shop)
    (shop / "duplicates.toml").write_text("[duplicates]\nenabled = true\n", encoding="utf-8")
    refresh(shop, "duplicates", "publish")
    return shop


def commands(folder: Path, *each: str) -> list[tuple[int, str]]:
    """Run commands one after the other; return of each its exit code and the last line that it wrote."""
    words = " -- ".join(each).split()
    env = {**environment(), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *ALONE, *words], cwd=folder, env=env, stdout=-1, stderr=-2, text=True)
    parts = done.stdout.split("exit ")
    codes = [int(part.splitlines()[0]) for part in parts[1:]]
    assert len(codes) == len(each), done.stdout
    said = [parts[0], *("\n".join(part.splitlines()[1:]) for part in parts[1:-1])]
    return [
        (code, text.strip().splitlines()[-1] if text.strip() else "") for code, text in zip(codes, said, strict=True)
    ]


def asked(client: httpx.Client, shop: Path) -> Iterator[tuple[str, httpx.Response]]:
    """Ask each route once, as it is asked when it has something to say."""
    photo = [("photo", ("photo.png", photo_of(shop, "p003-0-1")))]
    red = {"facets": "category,colour", "filter": json.dumps({"column": "colour", "equals": "red"})}
    found = client.post("/v1/search", files=photo, data=red)
    yield "POST /v1/search", found
    query = found.json()["query_id"]
    yield "GET /v1/queries/{query_id}", client.get(f"/v1/queries/{query}")
    yield "GET /v1/queries/{query_id}/photo", client.get(f"/v1/queries/{query}/photo")
    yield "POST /v1/compare", client.post("/v1/compare", data={"product_id": ["p000", "p001"]})
    yield "POST /v1/duplicates", client.post("/v1/duplicates", files=photo)
    yield "POST /v1/categorize", client.post("/v1/categorize", files=photo)
    yield "GET /v1/queries/{query_id}/looks", client.get(f"/v1/queries/{query}/looks")
    yield "GET /v1/products/{product_id}", client.get("/v1/products/p000")
    yield "GET /v1/products/{product_id}/similar", client.get("/v1/products/p000/similar")
    yield "GET /v1/products/{product_id}/trace", client.get("/v1/products/p000/trace")
    yield "GET /v1/photos/{photo_id}", client.get(found.json()["results"][0]["photo_url"])
    event = {"query_id": query, "product_id": found.json()["results"][0]["product_id"], "kind": "click"}
    yield "POST /v1/events", client.post("/v1/events", json=[event])
    record = json.dumps({"category": "hat", "photos": ["p003-0-0.png"]})
    yield "PUT /v1/products/{product_id}", client.put("/v1/products/new", files=photo, data={"record": record})
    many = "\n".join(json.dumps({"product_id": name, "op": "delete"}) for name in ("p004", "p005"))
    kind = {"Content-Type": "application/x-ndjson"}
    batch = client.post("/v1/products:batch", content=many, headers=kind)
    yield "POST /v1/products:batch", batch
    yield "GET /v1/changes/{batch}", client.get(f"/v1/changes/{batch.json().get('batch', 'none')}")
    yield "DELETE /v1/products/{product_id}", client.delete("/v1/products/p006")
    for path in ("/v1/catalog", "/healthz", "/readyz", "/metrics"):
        yield f"GET {path}", client.get(path)


def test_the_service_fetches_a_version_and_answers_every_route(
    telling: Path, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://{s3.bucket()}/catalog"
    remote.push(url, telling / "data")
    seen, place = tmp_path / "seen.json", tmp_path / "place"
    place.mkdir()
    cutting = (telling / "params.toml").read_text(encoding="utf-8").partition("[crops]")[2]
    feed = FEED.replace('"images"', json.dumps(str(telling / "images")))
    (place / "params.toml").write_text(f"{feed}\n[crops]{cutting}", encoding="utf-8")
    (place / "inbox").mkdir()
    monkeypatch.setenv(alone.SEEN, str(seen))
    with started(place, "--follow", url, "--allow-url-photos", python=ALONE) as (child, first):
        assert child.stdout
        assert child.poll() is None, first
        address = child.stdout.readline().split()[-1]  # the first line says which version was fetched
        ready(address)
        headers = {"Authorization": f"Bearer {keys.add('alone', place / 'data')}"}
        with httpx.Client(base_url=address, headers=headers, timeout=30, trust_env=False) as client:
            answers = dict(asked(client, telling))
        child.send_signal(signal.SIGTERM)
        _, said = child.communicate(timeout=30)
    found = {f"{method.upper()} {path}" for path, all_of in application(Settings()).openapi()["paths"].items()
             for method in all_of}  # fmt: skip
    assert set(answers) == found, "a route that is new is to be asked here"
    refused = [f"{name}: {answer.text}" for name, answer in answers.items() if answer.status_code >= 300]
    assert not refused, "\n".join(refused)
    assert "Traceback" not in said
    assert "leaked" not in said, "what libraries complain of at the end is nothing that a user could mend"
    imported = json.loads(seen.read_text(encoding="utf-8"))
    assert {"torch", "lance", "timm", "boto3", "uvloop", "httptools"} <= set(imported["imported"])
    assert imported["absent"] == []
    assert {"dagster", "dvc", "mlflow", "lightning_fabric", "ray", "sklearn", "sqlalchemy", "pytest"} <= alone.absent()


def test_commands_of_what_is_served_work_and_those_of_the_pipeline_name_the_extra(
    telling: Path, tmp_path: Path
) -> None:
    photo = telling / "images/p003-0-1.png"
    works = ("versions", "trace p000", f"similar {photo} --out {tmp_path / 'a.png'}", f"categorize {photo}", "zoo",
             "keys add someone", "keys list", "verify", "compact", "deploy")  # fmt: skip
    for command, (code, line) in zip(works, commands(telling, *works), strict=True):
        assert code == 0, (command, line)
    (telling / HOME).mkdir(exist_ok=True)
    (telling / HOME / DATABASE).touch()  # where there is none, there is no run to ask of
    wanting = {"leaderboard": "mlflow", "experiment tiny": "tomlkit", "init images": "tomlkit"}
    for (command, module), (code, line) in zip(wanting.items(), commands(telling, *wanting), strict=True):
        cure = f"{module} is not installed, which visnet's extra [line] brings: `pip install 'visnet[line]'`"
        assert (code, line) == (2, f"visnet {command.split()[0]}: {cure}")


@pytest.mark.parametrize("role", ["prepare", "mlflow", "mlflow-page", "code", "daemon", "webserver"])
def test_another_role_than_the_image_s_is_refused_in_a_line(role: str, tmp_path: Path) -> None:
    script = "import sys; from tests.docker import alone; alone.leave_out({'sqlalchemy'});"
    script += f"from orchestration.ui import roles; sys.argv = ['roles', {role!r}]; roles.main()"
    env = {**environment(), "PYTHONPATH": str(ROOT), "POSTGRES_PASSWORD": "x", "VISNET_UI_PASSWORD": "x", "PORT": "1"}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True)
    line = f"error: role {role} needs sqlalchemy, which the image `pipeline` has; this has not\n"
    assert (done.returncode, done.stderr) == (2, line)


def test_modules_that_are_missed_by_name_are_those_that_no_serving_package_has() -> None:
    """What visnet imports, and the serving lock has no package of, is in the list that the refusal goes by."""
    imported = set[str]()
    for path in (ROOT / "visnet").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            imported |= {name.partition(".")[0] for name in names}
    lacking = alone.absent() & imported
    assert lacking - {"ray"} == extras.LINE - {"fsspec"}, (
        "Ray has an extra of its own, which it names; torch has fsspec"
    )
