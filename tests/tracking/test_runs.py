"""What stands in MLflow of a training and its evaluation, and how the leaderboard, names and pages show it."""

import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlflow.entities import Metric, Param, Run, RunTag

from tests import learning
from tests.apart import Work, within
from tests.learning import copy, run, setting
from tests.workspace import report
from visnet.runs import runner
from visnet.tracking import connection, leaderboard, registry


def runs(shop: Path) -> list[Run]:
    with within(shop):
        return registry.runs(connection.connect())


def test_a_run_has_what_people_compare_and_little_else(learnt: Path) -> None:
    (one,) = runs(learnt)
    assert {"train_loss", "lr", "training_s", "recall_at_1", "baseline/random_recall_at_1"} <= one.data.metrics.keys()
    assert {name for name in one.data.metrics if "/" in name and not name.startswith("baseline/")} == {
        "recall_at_1/bag",
        "recall_at_1/hat",
    }
    assert len(one.data.metrics) <= 30 + 2
    assert {"trained_model.parameters", "trained_model.digest", "evaluation.test_digest"} <= one.data.tags.keys()
    assert one.info.run_id == report(learnt, "evaluation")["mlflow_run_id"]


def test_runs_of_one_config_are_told_apart_by_their_names(learnt: Path, tmp_path: Path) -> None:
    shop = copy(learnt, tmp_path / "shop")
    setting(shop, "epochs = 2", "epochs = 1\nseed = 3")
    run(shop, "trained_model")
    second, first = (one.info.run_name for one in runs(shop))
    assert first.startswith("tiny epochs=2 ")
    assert second.startswith("tiny epochs=1 seed=3 ")


def test_the_experiment_is_tagged_as_model_training(learnt: Path) -> None:
    with within(learnt):
        experiment = connection.connect().get_experiment_by_name("visnet")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_the_leaderboard_has_more_than_a_page_of_runs(learnt: Path, tmp_path: Path) -> None:
    shop = copy(learnt, tmp_path / "shop")
    (one,) = runs(shop)
    with sqlite3.connect(shop / ".mlflow/mlflow.db") as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(runs)")]
        taken = ", ".join("? || run_uuid" if name == "run_uuid" else name for name in columns)
        many = [[f"{number:04d}"] for number in range(1100)]
        database.executemany(f"INSERT INTO runs SELECT {taken} FROM runs WHERE length(run_uuid) = 32", many)
        database.execute(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)"
            " SELECT 'recall_at_1', 0.5, 0, 0, 0, run_uuid FROM runs WHERE run_uuid != ?",
            [one.info.run_id],
        )
    with within(shop):
        frame = leaderboard.table()
    assert len(frame) == 1101
    best = frame[frame["run"] == one.info.run_id].iloc[0]
    assert (best["config"], best["dimensions"]) == ("tiny", 16)
    assert best["page"].startswith(f"{connection.home()}/#/experiments/1/runs/")


NAMES = (
    "Bags & Purses",
    "Women > Shoes",
    "50% off",
    "Men's",
    "a\nb",
    "a b",
    "a_b",
    "..",
    "",
    "x" * 300,
    "x" * 301,
    "é/à",
)


def test_mlflow_takes_every_name_and_tells_them_apart(learnt: Path, tmp_path: Path) -> None:
    shop = copy(learnt, tmp_path / "shop")
    fit = [connection.fit(f"recall_at_1/{name}") for name in NAMES]
    with within(shop):
        client, run_id = connection.connect(), runs(shop)[0].info.run_id
        client.log_batch(
            run_id,
            metrics=[Metric(name, float(number), 0, 0) for number, name in enumerate(fit)],
            params=[Param(name, str(number)) for number, name in enumerate(fit)],
            tags=[RunTag(name, str(number)) for number, name in enumerate(fit)],
        )
        data = client.get_run(run_id).data
    assert [data.metrics[name] for name in fit] == list(range(len(NAMES)))
    assert fit[0].startswith("recall_at_1/Bags _ Purses ")
    assert "recall_at_1/a b" in fit


@given(st.text(), st.text())
@example("a&b", connection.fit("a&b"))
@example("a/", "a")
def test_different_names_stay_different(one: str, other: str) -> None:
    assert (connection.fit(one) == connection.fit(other)) == (one == other)
    assert 0 < len(connection.fit(one)) <= connection.NAME_CHARACTERS


def test_an_inherited_rank_makes_no_helper(learnable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = copy(learnable, tmp_path / "shop")
    monkeypatch.setenv("LOCAL_RANK", "1")
    (shop / "reports/triplets.json").unlink()
    run(shop, "triplets")
    assert report(shop, "triplets")["train"] == 16
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not runner.helps()
    monkeypatch.setenv(runner.LAUNCHER, str(os.getppid()))
    assert runner.helps()


def begin(shop: Path) -> Work:
    """Begin a training of many epochs in a process of its own, and wait until it is under way."""
    work = Work(shop, "run trained_model")
    curve, deadline_s = shop / "reports/trained_model.building/trained_model.csv", time.monotonic() + 120
    while (
        len(curve.read_text().splitlines() if curve.exists() else []) < 3
        and work.alive
        and time.monotonic() < deadline_s
    ):
        time.sleep(0.1)
    return work


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM, signal.SIGINT]], ids=["once", "twice"])
def test_a_cancelled_training_is_killed_and_leaves_the_former_model(
    signals: list[signal.Signals], learnt: Path, tmp_path: Path
) -> None:
    shop = copy(learnt, tmp_path / "shop")
    former = [(path, path.read_bytes()) for path in sorted((shop / "reports").glob("trained_model.*"))]
    before = learning.model(shop)
    setting(shop, "epochs = 2", "epochs = 5000\npatience = 0")
    work = begin(shop)
    work.signal(*signals)
    done = work.end(kill_after_s=60)
    assert done.returncode == 130, done.stderr
    assert [one.info.status for one in runs(shop)] == ["KILLED", "FINISHED"]
    assert learning.model(shop) == before
    assert [(path, path.read_bytes()) for path in sorted((shop / "reports").glob("trained_model.*"))] == former
    learning.evaluate(shop)
