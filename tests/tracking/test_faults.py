"""A tracker that is gone, slow or broken, and a stage that dies at a bad moment: nothing that was learnt is lost."""

import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests import learning
from tests.apart import Work, within
from tests.learning import copy, killed_after, model, run, setting, tracked_at
from tests.workspace import report
from visnet.runs import runner
from visnet.storage import atomic
from visnet.tracking import connection, delivery, outbox, recorder, registry
from visnet.zoo import weights


@pytest.fixture
def shop(learnable: Path, tmp_path: Path) -> Path:
    """A tiny shop, ready to be learnt from."""
    return copy(learnable, tmp_path / "shop")


@pytest.fixture
def trained(learnt: Path, tmp_path: Path) -> Path:
    """A tiny shop, learnt and evaluated."""
    return copy(learnt, tmp_path / "shop")


def runs(shop: Path) -> list[tuple[str, str]]:
    with within(shop):
        client = connection.connect()
        return [(r.info.status, registry.version_of(client, r.info.run_id)) for r in registry.runs(client)]


def waiting(shop: Path) -> list[str]:
    return sorted(path.name.partition("-")[2] for path in (shop / outbox.FOLDER).glob("[0-9]*"))


FAULTS = [
    (weights, "save"),
    (runner, "_finished"),
    (atomic, "replace"),
    (delivery, "open_run"),
    (registry, "register"),
    (delivery, "tell"),
    (runner, "write_report"),
]


def test_a_failure_at_any_point_after_the_training_costs_no_training(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One training, which fails at one point after the other, and is the same run and version in the end."""
    before = model(trained)
    setting(trained, "epochs = 2", "epochs = 3\nlr = 0.05")
    for owner, name in FAULTS:
        with monkeypatch.context() as patch:

            def failing(*args: object, done: object = getattr(owner, name), **options: object) -> None:
                done(*args, **options)  # type: ignore[operator]
                raise RuntimeError("the power is gone")

            patch.setattr(owner, name, failing)
            with pytest.raises(RuntimeError, match="the power is gone"):
                run(trained, "trained_model")
        assert report(trained, "trained_model")["epochs"] == (3 if name == "write_report" else 2)
        assert (model(trained) == before) == (name in ("save", "_finished"))
    run(trained, "trained_model")
    said = report(trained, "trained_model")
    assert (said["epochs"], said["resumed_from_epoch"]) == (3, 3)
    assert runs(trained) == [("FINISHED", "2"), ("FINISHED", "1")]
    assert not list(trained.rglob("*.building"))


def test_a_kill_after_the_training_costs_no_training(shop: Path) -> None:
    done = Work(shop, "run trained_model", fault=partial(killed_after, "visnet.storage.atomic", "replace")).end()
    assert done.returncode == -signal.SIGKILL, done.stderr
    run(shop, "trained_model")
    assert report(shop, "trained_model")["resumed_from_epoch"] == 2
    assert runs(shop) == [("FINISHED", "1")]


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of a server that takes a connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def gone(shop: Path, kind: str, deaf: str) -> str | None:
    """Have the tracker be gone; return its address where it is not the default."""
    database = shop / ".mlflow/mlflow.db"
    if kind == "refused":
        return "http://127.0.0.1:1"
    if kind == "without a name":
        return "http://tracker.invalid:5000"
    if kind == "deaf":
        return deaf
    if kind == "read only":
        return f"sqlite:///file:{database}?mode=ro&uri=true"
    database.rename(database.with_suffix(".away"))
    if kind == "no database":
        database.write_bytes(b"what a disk has lost" * 400)
    else:
        database.mkdir()
    return None


KINDS = ("refused", "without a name", "deaf", "read only", "no database", "a folder")


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_without_its_tracker_is_told_later(
    kind: str, shop: Path, deaf: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    began_s = time.monotonic()
    with tracked_at(gone(shop, kind, deaf)):
        run(shop, "trained_model")
    assert time.monotonic() - began_s < 30
    said = report(shop, "trained_model")
    assert (said["epochs"], said["mlflow_run_id"], said["mlflow_model_version"]) == (2, None, None)
    assert len((shop / "reports/trained_model.csv").read_text().splitlines()) == 3
    spoken = capfd.readouterr().err
    assert "MLflow cannot be told: " in spoken
    assert "the next training or evaluation tells it, or `python -m visnet sync-runs`" in spoken
    assert waiting(shop) == ["trained_model"]

    database = shop / ".mlflow/mlflow.db"
    if database.with_suffix(".away").exists():
        shutil.rmtree(database) if database.is_dir() else database.unlink()
        database.with_suffix(".away").rename(database)
    if kind == "refused":
        learning.evaluate(shop)
        assert report(shop, "evaluation")["champion"] == "1"
    else:
        with within(shop):
            assert recorder.sync().startswith("Told       1 of 1")
    assert waiting(shop) == []
    assert runs(shop) == [("FINISHED", "1")]
    with within(shop):
        (one,) = registry.runs(connection.connect())
        assert sorted(registry.curve(one.info.run_id)) == [1, 2]
        assert one.data.tags["trained_model.digest"] == said["digest"]


def test_a_tracker_that_dies_during_the_training(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = shop / ".mlflow/mlflow.db"
    whole = database.with_suffix(".whole")
    drawn = delivery.draw

    def dying(*args: object) -> None:
        drawn(*args)  # type: ignore[arg-type]
        shutil.copy(database, whole)
        database.write_bytes(b"no database")

    monkeypatch.setattr(delivery, "draw", dying)
    run(shop, "trained_model")
    assert (report(shop, "trained_model")["epochs"], waiting(shop)) == (2, ["trained_model"])
    monkeypatch.undo()
    database.write_bytes(whole.read_bytes())
    assert runs(shop) == [("RUNNING", "")]
    with within(shop):
        recorder.sync()
    assert runs(shop) == [("FINISHED", "1")]


def test_an_evaluation_without_its_tracker_is_told_later(trained: Path) -> None:
    with tracked_at("http://127.0.0.1:1"):
        run(trained, "evaluation")
    said = report(trained, "evaluation")
    assert (said["mlflow_run_id"], said["passed"], waiting(trained)) == (None, None, ["evaluation"])
    assert "MLflow, which knows the champion, cannot be asked" in said["verdict"]
    with within(trained):
        recorder.sync()
    assert (waiting(trained), len(runs(trained))) == ([], 1)


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        (
            "htp://127.0.0.1:5000",
            "'htp://127.0.0.1:5000' is no address of a tracker; allowed are those with http, https,",
        ),
        ("localhost:5000", "is no address of a tracker"),
        ("./runs", "is no address of a tracker"),
        ("http://127.0.0.1:80800", "has no host, or a port that cannot be"),
        ("http://:5000", "has no host"),
    ],
)
def test_what_is_no_address_is_refused_before_the_training(shop: Path, uri: str, why: str) -> None:
    with tracked_at(uri), pytest.raises(ValueError, match=f"MLFLOW_TRACKING_URI: .*{why}"):
        run(shop, "trained_model")
    assert not (shop / "data/trained_model").exists()
    assert not list((shop / "data/trained_model.building").glob("checkpoints"))


def test_a_database_that_is_gone_has_the_model_again_after_the_next_evaluation(trained: Path) -> None:
    """It was registered as the only version and was champion; what is lost is what other runs said."""
    shutil.rmtree(trained / ".mlflow")
    run(trained, "evaluation")
    assert report(trained, "evaluation")["champion"] == "1"
    with within(trained):
        (one,) = registry.runs(connection.connect())
        assert one.info.run_name == "tiny from elsewhere"
        registry.take(1, trained / "taken")
    run(trained, "evaluation")
    assert runs(trained) == [("FINISHED", "1")]  # found by its weights
    assert (trained / "taken/model.safetensors").read_bytes() == model(trained)


def test_a_version_that_cannot_be_had_costs_nothing_and_zero_trains(trained: Path) -> None:
    before = model(trained)
    shutil.rmtree(trained / ".mlflow/artifacts/models")
    for version, why in (
        (1, r"1 \(tiny\) cannot be had: .*; take another, or"),
        (9, "9 is not registered; .* 1 .tiny.;"),
    ):
        setting(trained, "[trained_model]\n", f"[trained_model]\nversion = {version}\n")
        with pytest.raises(ValueError, match=rf"\[trained_model\] version: version {why} .*version = 0,? "):
            run(trained, "trained_model")
        assert model(trained) == before
        setting(trained, f"version = {version}\n", "")
    setting(trained, "[trained_model]\n", "[trained_model]\nversion = 0\n")
    run(trained, "trained_model")
    assert report(trained, "trained_model")["mlflow_model_version"] == "2"


def test_a_deleted_experiment_can_be_restored_as_its_message_says(
    shop: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with within(shop):
        client = connection.connect()
        client.delete_experiment(client.get_experiment_by_name("visnet").experiment_id)
    run(shop, "trained_model")
    said = capfd.readouterr().err
    number = said.partition("`mlflow experiments restore --experiment-id ")[2].partition("`")[0]
    with within(shop):
        MlflowClient(connection.address()).restore_experiment(number)
        recorder.sync()
    assert runs(shop) == [("FINISHED", "1")]


def test_a_telling_that_cannot_be_read_names_what_to_remove(trained: Path) -> None:
    with tracked_at("http://127.0.0.1:1"):
        run(trained, "evaluation")
    (kept,) = (trained / outbox.FOLDER).glob("[0-9]*")
    (kept / "telling.json").write_text("{")
    with within(trained):
        with pytest.raises(ValueError, match=rf"telling.json cannot be read .*; remove {outbox.FOLDER / kept.name}"):
            recorder.sync()
        shutil.rmtree(kept)
        assert recorder.sync() == "Nothing waits."


@pytest.mark.parametrize("name", ["moved", "a ?#%41 é"])
def test_a_project_that_was_renamed_goes_on(trained: Path, tmp_path: Path, name: str) -> None:
    moved = trained.rename(tmp_path / name)
    with within(moved):
        connection.connect()
        registry.take(1, moved / "taken")
        registry.promote("1")
    setting(moved, "epochs = 2", "epochs = 1")
    run(moved, "trained_model")
    learning.evaluate(moved)
    assert runs(moved) == [("FINISHED", "2"), ("FINISHED", "1")]
    assert not trained.exists()
    with sqlite3.connect(moved / ".mlflow/mlflow.db") as database:
        assert str(trained) not in "".join(line for line in database.iterdump() if "source.name" not in line)


def test_a_report_keeps_no_address_of_a_day(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = report(trained, "trained_model")["mlflow_page"]
    assert page == report(trained, "evaluation")["mlflow_page"]
    assert page.startswith("#/experiments/1/runs/")
    monkeypatch.setenv("VISNET_MLFLOW_UI", "http://127.0.0.1:5999")
    assert connection.home() == "http://127.0.0.1:5999"
