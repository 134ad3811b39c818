"""docker/compose.yaml: its services run as processes on a real PostgreSQL and object store, and fit the code."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestration.ui.roles import ROLES
from orchestration.ui.watch import Dagster
from tests.docker.composed import COMPOSE, OBJECTS_KEY, OURS, SERVICES, UI_PASSWORD, WITH_STORE, Composed
from tests.docker.postgresql import PASSWORD, Postgresql
from tests.orchestration.running import wait
from tests.workspace import ROOT

LOCATION = {"repositoryLocationName": "orchestration.definitions", "repositoryName": "__repository__"}
PAGES = ("webserver", "mlflow-page", "serve")


def test_every_service_has_a_role_a_health_check_and_rights_no_more_than_needed() -> None:
    assert {SERVICES[name]["command"][0] for name in OURS} == set(ROLES)
    for name in OURS:
        service = SERVICES[name]
        assert len(service["command"]) == 1
        assert (service["build"]["context"], service["build"]["dockerfile"]) == ("..", "docker/Dockerfile")
        assert ("secrets" in service) == (name != "serve"), "who speaks with strangers has no password to lose"
        assert (service["cap_drop"], "healthcheck" in service) == (["ALL"], name != "prepare")
        assert service["volumes"] == ["workspace:/visnet"]
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), "nothing is published to other machines"
            assert name in PAGES
        for other, condition in service["depends_on"].items():
            wanted = "service_completed_successfully" if other == "prepare" else "service_healthy"
            assert condition == {"condition": wanted}
        for value in service["environment"].values():
            assert "password" not in value.lower() or value.startswith("/run/secrets/"), "no password stands here"
    assert {name for name in OURS if "ports" in SERVICES[name]} == set(PAGES)
    shares = {name: SERVICES[name].get("cpu_shares", 1024) for name in OURS}
    assert min(shares, key=lambda name: shares[name]) == "code", "the stages, which run there, give way"
    assert max(shares, key=lambda name: shares[name]) == "serve", "to those who wait for an answer"
    assert set(COMPOSE["volumes"]) == {"workspace", "postgres", "prometheus", "grafana"}
    for secret in COMPOSE["secrets"].values():
        assert f"docker/{secret['file'].partition('/')[0]}" in (ROOT / ".dockerignore").read_text().split()


def test_an_object_store_is_added_to_services_that_are_there_and_to_nobody_else() -> None:
    added = WITH_STORE["services"]
    assert set(added) - set(SERVICES) == {"objects"}
    assert "ports" not in added["objects"], "the other services alone reach it"
    assert (added["objects"]["cap_drop"], added["objects"]["secrets"]) == (["ALL"], ["objects_key"])
    for name in set(added) & set(SERVICES):
        assert added[name]["secrets"] == ["objects_key"]
        assert added[name]["environment"]["AWS_SECRET_ACCESS_KEY_FILE"] == "/run/secrets/objects_key"
    files = {one["environment"]["MLFLOW_ARTIFACTS"] for one in added.values() if "MLFLOW_ARTIFACTS" in str(one)}
    assert files == {"s3://visnet/mlflow"}
    assert not set(WITH_STORE["volumes"]) & set(COMPOSE["volumes"])


@pytest.fixture(scope="module")
def composed(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """All services, in a workspace that has a published version."""
    folder = tmp_path_factory.mktemp("composed")
    workspace = Path(shutil.copytree(published, folder / "workspace", symlinks=True))
    postgresql = Postgresql()
    services = Composed(workspace, postgresql, folder / "secrets")
    try:
        (workspace / "data/publish").rename(folder / "publish")  # until somebody publishes
        (workspace / "visnet").mkdir()
        (workspace / "visnet/gone.py").write_text("of an older image\n")
        services.start_store()
        first, again = services.once("prepare"), services.once("prepare")
        assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
        assert first.stdout.splitlines()[-1] == "The workspace and the databases are ready."
        services.start("mlflow", "mlflow-page", "code", "daemon", "webserver")
        yield services
    finally:
        services.stop()
        postgresql.remove()


@pytest.fixture(scope="module")
def dagster(composed: Composed) -> Iterator[Dagster]:
    asked = Dagster(composed.url("webserver"), ("any name", UI_PASSWORD))
    yield asked
    asked.close()


def launch(dagster: Dagster, asset: str = "raw_images") -> str:
    query = """mutation ($s: JobOrPipelineSelector!) { launchRun(executionParams: {selector: $s, mode: "default"}) {
        __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
    asked = {**LOCATION, "pipelineName": "__ASSET_JOB", "assetSelection": [{"path": [asset]}]}
    launched = dagster.ask(query, s=asked)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return str(launched["run"]["runId"])


def launched_at_last(dagster: Dagster) -> str:
    """Launch as a person does who tries again: a connection of before is found dead once."""
    for _ in range(5):
        with contextlib.suppress(httpx.HTTPStatusError):
            return launch(dagster)
    return launch(dagster)


def status(dagster: Dagster, run: str) -> str:
    try:
        found = dagster.ask("query ($r: ID!) { runOrError(runId: $r) { ... on Run { status } } }", r=run)
    except (httpx.HTTPError, ValueError):  # while PostgreSQL is away
        return "unknown"
    return str(found["runOrError"]["status"])


def ended(dagster: Dagster, run: str) -> str:
    wait(lambda: status(dagster, run) in ("SUCCESS", "FAILURE", "CANCELED"), f"run {run} to end")
    return status(dagster, run)


def test_the_image_s_code_takes_the_place_of_what_was_there_and_a_person_s_files_stay(composed: Composed) -> None:
    here = composed.workspace
    assert not (here / "visnet/gone.py").exists()
    assert (here / "dvc.yaml").read_text() == (ROOT / "dvc.yaml").read_text()
    assert 'metadata = "stock.csv"' in (here / "params.toml").read_text(), "the workspace's own"
    assert (here / "photo_quality.csv").read_text() == (ROOT / "photo_quality.csv").read_text(), "which it lacked"


def test_runs_and_their_events_are_kept_in_postgresql(composed: Composed, dagster: Dagster) -> None:
    run = launch(dagster)
    assert ended(dagster, run) == "SUCCESS"
    assert composed.postgresql.ask("dagster", f"SELECT status FROM runs WHERE run_id = '{run}'") == [("SUCCESS",)]
    assert composed.postgresql.ask("mlflow", "SELECT count(*) FROM experiments")[0][0]
    assert not list(composed.workspace.glob(".dagster/**/*.db"))


def test_files_of_runs_are_kept_in_the_object_store_and_clients_need_no_credentials(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    client = mlflow.MlflowClient(composed.url("mlflow"))
    run = client.create_run(client.create_experiment("kept there")).info.run_id
    client.log_text(run, "weights", "model/weights.txt")
    assert [file.path for file in client.list_artifacts(run, "model")] == ["model/weights.txt"]
    fetched = client.download_artifacts(run, "model/weights.txt", str(tmp_path))
    assert Path(fetched).read_text(encoding="utf-8") == "weights"
    kept = composed.store().list_objects_v2(Bucket="visnet", Prefix="mlflow/")["Contents"]
    assert [one["Key"] for one in kept if one["Key"].endswith(f"{run}/artifacts/model/weights.txt")]
    assert not list(composed.workspace.rglob("weights.txt"))


def test_pages_want_the_password_and_no_log_has_one(composed: Composed, dagster: Dagster) -> None:
    for name, path in (("webserver", "/server_info"), ("mlflow-page", "/health")):
        answers = [httpx.get(composed.url(name) + path, auth=auth, trust_env=False).status_code
                   for auth in (None, ("x", "wrong"), ("x", UI_PASSWORD))]  # fmt: skip
        assert answers == [401, 401, 200], name
    spoken = "".join(composed.log(name).read_text() for name in OURS if composed.log(name).exists())
    assert not [word for word in (PASSWORD, "a%20%25", UI_PASSWORD, OBJECTS_KEY) if word in spoken]


def test_a_database_that_was_away_for_a_while_costs_no_later_run(composed: Composed, dagster: Dagster) -> None:
    run = launch(dagster)
    composed.postgresql.stop()
    composed.postgresql.start()
    assert ended(dagster, run) in ("SUCCESS", "FAILURE")
    assert all(composed.alive(name) for name in ("code", "daemon", "webserver", "mlflow"))
    wait(lambda: composed.healthy("webserver"), "its connections to be made anew")
    assert ended(dagster, launched_at_last(dagster)) == "SUCCESS"


def test_a_killed_webserver_or_daemon_ends_no_run_and_a_killed_code_server_leaves_none_behind(
    composed: Composed, dagster: Dagster
) -> None:
    run = launch(dagster)
    composed.kill("webserver")
    composed.kill("daemon")
    composed.start("webserver", "daemon")
    assert ended(dagster, run) == "SUCCESS"
    run = launch(dagster)
    composed.kill("code")
    composed.start("code")
    assert ended(dagster, run) in ("SUCCESS", "FAILURE"), "it does not hold the queue for ever"
    assert ended(dagster, launch(dagster)) == "SUCCESS"


def test_the_search_service_waits_for_the_first_version_and_then_answers(composed: Composed, tmp_path: Path) -> None:
    composed.start_unready("serve")
    wait(lambda: "No version is published yet" in composed.log("serve").read_text(), "its line")
    assert not composed.healthy("serve")
    (composed.workspace.parent / "publish").rename(composed.workspace / "data/publish")
    wait(lambda: composed.healthy("serve"), "it to serve")
    answer: dict[str, Any] = httpx.get(composed.url("serve") + "/v1/catalog", trust_env=False).raise_for_status().json()
    assert answer["lineage"]["catalog_version"] == 1


@pytest.mark.parametrize(
    ("role", "changed", "line"),
    [
        ("nobody", {}, "role 'nobody' is unknown; allowed are prepare, mlflow, "),
        ("prepare", {"POSTGRES_PASSWORD_FILE": ""}, "POSTGRES_PASSWORD, or POSTGRES_PASSWORD_FILE, is wanted"),
        ("prepare", {"POSTGRES_PASSWORD_FILE": "/nowhere"}, "POSTGRES_PASSWORD_FILE: /nowhere: No such file"),
        ("prepare", {"POSTGRES_PORT": "x"}, "POSTGRES_PORT: 'x' is no number"),
        ("prepare", {"POSTGRES_USER": "stranger"}, "password authentication failed for user \"stranger\""),
        ("prepare", {"AWS_SECRET_ACCESS_KEY_FILE": "", "AWS_SECRET_ACCESS_KEY": "x"}, "mlflow: An error occurred"),
        ("webserver", {"VISNET_UI_PASSWORD_FILE": "", "HOST": "0.0.0.0"}, "VISNET_UI_PASSWORD, or VISNET_UI_PASS"),
        ("daemon", {"DAGSTER_HOME": "elsewhere"}, "workspace.yaml is missing: run the role `prepare` first"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_in_a_line(
    composed: Composed, role: str, changed: dict[str, str], line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    done = composed.tried(role, changed)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("error: ")
    assert line in done.stderr
    assert PASSWORD not in done.stderr
