"""Experiments beside the line: one MLflow run each, compared in one table, and one of them promoted into the line."""

import csv
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import sync_playwright

from orchestration.bridge.dvc import Dvc
from orchestration.defs.experiments import experiment_asset
from tests import learning
from tests.apart import Work
from tests.chromium import CHROMIUM, FLAGS
from tests.forked import dvc
from tests.tracking.test_tracking import client_of, runs
from tests.workspace import report, shell
from visnet import zoo
from visnet.commands import models
from visnet.evaluation import verdict
from visnet.runs import experiment
from visnet.tracking import leaderboard, registry

TINY = learning.TINY.replace("margin = 3.0", "margin = 0.3").replace("triplets = 8", "triplets = 16")
SETTINGS = ["trained_model.epochs=3"]


def zoo_of(shop: Path) -> None:
    """Have the entries of the shop's own zoo be known."""
    zoo._HERE = shop / "visnet/zoo"


@pytest.fixture(scope="module")
def shop(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built shop with a zoo entry more, whose experiment was killed once; then it ran, and version 1 with it."""
    shop = Path(shutil.copytree(built, tmp_path_factory.mktemp("tried") / "shop", symlinks=True))
    (shop / "visnet/zoo/tiny.toml").write_text(TINY)
    words, copied = ["experiment", "tiny", "-S", *SETTINGS], partial(zoo_of, shop)
    work = Work(shop, words, fault=copied)
    kept, deadline_s = (
        shop / "data/experiments/tiny/trained_model.building/checkpoints/last.ckpt",
        time.monotonic() + 120,
    )
    while not kept.exists() and work.alive and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert work.end(kill_after_s=0).returncode == -signal.SIGKILL
    done = Work(shop, [*words, "--version", "1"], fault=copied).end()
    assert done.returncode == 0, done.stderr
    return shop


@pytest.fixture
def here(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to change, as the current directory."""
    copy = Path(shutil.copytree(shop, tmp_path / "shop", symlinks=True))
    monkeypatch.chdir(copy)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return copy


def aliases(shop: Path) -> dict[str, str]:
    client = client_of(shop)
    return {
        alias: str(client.get_model_version_by_alias("visnet", alias).version) for alias in ("champion", "challenger")
    }


def pretend(shop: Path, version: str, right: int, first: int = 0) -> None:
    """Let a version have answered 100 street photos, numbered from `first`, so many of them right."""
    client = client_of(shop)
    client.set_model_version_tag("visnet", version, "recall_at_1", str(right / 100))
    client.set_model_version_tag("visnet", version, "test_digest", f"that of {version}")
    queries = shop / verdict.QUERIES
    asked = {"query_id": [f"photo {number}" for number in range(first, first + 100)]}
    pq.write_table(pa.table({**asked, "rank_trained": [int(number >= right) for number in range(100)]}), queries)
    registry.keep_answers(client, str(client.get_model_version("visnet", version).run_id), queries)
    queries.unlink()


def materialize(shop: Path, *settings: str) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [experiment_asset(shop)],
        partition_key="tiny",
        run_config={"ops": {"experiments": {"config": {"settings": list(settings)}}}},
        resources={"dvc": Dvc(root=str(shop))},
        raise_on_error=False,
    )


def test_a_killed_experiment_goes_on_and_is_one_run(shop: Path) -> None:
    trained = report(shop, "experiments/tiny/trained_model")
    assert (trained["epochs"], trained["resumed_from_epoch"] >= 1) == (3, True)
    run, line = runs(shop)
    assert (run.info.status, run.info.run_id) == ("FINISHED", trained["mlflow_run_id"])
    assert run.info.run_name.startswith("tiny side_px=64 epochs=3 ")
    assert (run.data.tags["visnet.kind"], line.data.tags["visnet.kind"]) == ("experiment", "line")
    asked = {"trained_model.epochs": "3", "trained_model.side_px": "64", "triplets.train": "64"}
    of_the_entry = {"model.loss.margin": "0.3", "model.batches.triplets": "16", "model.epochs": "3"}
    assert (asked | of_the_entry).items() <= run.data.params.items()  # of epochs it says 9
    measured = {"recall_at_1", "recall_at_1/hats", "triplet_accuracy", "training_s", "peak_memory_mib"}
    assert measured <= run.data.metrics.keys()
    client = client_of(shop)
    assert [point.step for point in client.get_metric_history(run.info.run_id, "validation_loss")] == [1, 2, 3]
    assert len([a for a in client.list_artifacts(run.info.run_id, "images") if a.path.endswith(".png")]) >= 4


def test_the_line_and_git_do_not_notice(built: Path, shop: Path) -> None:
    for file in ("dvc.lock", "params.toml", "reports/trained_model.json", "data/trained_model/model.safetensors"):
        assert (shop / file).read_bytes() == (built / file).read_bytes()
    assert shell(shop, "git", "status", "--short").split() == ["??", "visnet/zoo/tiny.toml"]
    assert aliases(shop) == {"champion": "1", "challenger": "2"}


def test_a_registered_version_is_evaluated_in_its_own_run(shop: Path) -> None:
    again, line = report(shop, "experiments/version-1/evaluation"), report(shop, "evaluation")
    same = ("recall_at_1", "model", "test_digest", "digest", "mlflow_run_id")
    assert {key: again[key] for key in same} == {key: line[key] for key in same}


@pytest.mark.parametrize(
    ("names", "versions", "settings", "why"),
    [
        (["tiny", "mildnet_smal"], [], [], "no model is called 'mildnet_smal'; did you mean 'mildnet_small'"),
        (["mildnet_small"], [99], [], r"version 99 is not registered; there are 2 \(tiny\), 1 \(mildnet_small\)"),
        (["mildnet_small"], [], ["trained_model.epoch=1"], "trained_model. epoch: unknown key; known are config"),
        (["mildnet_small"], [], ["trained_model.side_px=9"], "side_px: must be at least 64 and at most 2048"),
        (["mildnet_small"], [], ["crops.side_px=96"], "crops is the line's: set it in params.toml"),
        (["mildnet_small"], [], ["trained_model.version=1"], "give it as that"),
        (["tiny", "visnet/zoo/tiny.toml"], [], [], "both called 'tiny'; run one at a time"),
        ([], [], [], "name one zoo entry at least; there are .*, mildnet_small,"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(
    shop: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], versions: list[int], settings: list[str], why: str
) -> None:
    monkeypatch.chdir(shop)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(zoo, "_HERE", shop / "visnet/zoo")
    with pytest.raises(ValueError, match=why):
        experiment.run(names, versions, settings)
    assert sorted(path.name for path in (shop / "data/experiments").iterdir()) == ["tiny", "version-1"]


def test_dagster_shows_an_experiment_and_repeats_only_what_changed(here: Path) -> None:
    model = here / "data/experiments/tiny/trained_model/model.safetensors"
    made_ns, before = model.stat().st_mtime_ns, report(here, "experiments/tiny/evaluation")
    result = materialize(here, *SETTINGS, "evaluation.recall_at_1_margin=0.5")
    assert result.success
    after = report(here, "experiments/tiny/evaluation")
    assert (model.stat().st_mtime_ns, len(runs(here))) == (made_ns, 2)
    assert before["champion_recall_at_1"] == after["champion_recall_at_1"]
    assert after["common_recall_at_1_min"] - before["common_recall_at_1_min"] == pytest.approx(0.5, abs=1e-5)
    (event,) = result.asset_materializations_for_node("experiments")
    shown = {key: value.value for key, value in event.metadata.items()}
    assert (event.partition, shown["recall_at_1"], shown["config"]) == ("tiny", after["recall_at_1"], "tiny")
    assert f"/runs/{after['mlflow_run_id']}?" in shown["mlflow_page"]
    assert shown["pictures"].count("data:image/webp;base64,") == 2
    assert "![Triplet accuracy](data:image/svg+xml;base64," in shown["pictures"]


def test_dagster_says_why_an_experiment_failed(here: Path) -> None:
    result = materialize(here, "trained_model.lr=-1")
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    said = failed.step_failure_data.error_display_string
    assert "Failure: experiment tiny -S trained_model.lr=-1: params.toml: [trained_model] lr: must be" in said


def test_a_promotion_that_is_refused_changes_nothing(here: Path) -> None:
    before = aliases(here), (here / "params.toml").read_bytes()
    pretend(here, "1", right=75)
    pretend(here, "2", right=50)
    why = (
        r"version 2 \(tiny\) finds recall@1 0.5000 on 100 photos, less than the champion, version 1 "
        r"\(mildnet_small\): 0.7500, by more than chance"
    )
    with pytest.raises(ValueError, match=why):
        models.promote("tiny")
    pretend(here, "2", right=90, first=90)
    why = r"have answered 10 street photos in common, 20 are needed; .*--version 1`, and the same for 2"
    with pytest.raises(ValueError, match=why):
        models.promote("2")
    assert (aliases(here), (here / "params.toml").read_bytes()) == before


def test_a_promoted_model_is_what_the_line_serves(here: Path) -> None:
    for version in "12":  # as good as the champion is good enough, of whatever catalog
        pretend(here, version, right=75, first=int(version))
    params = here / "params.toml"
    params.write_text(
        params.read_text().replace("[trained_model]", "[trained_model]  # what learns\nversion = 0  # new")
    )
    before = params.read_text()
    tiny = report(here, "experiments/tiny/trained_model")
    models.promote(tiny["mlflow_run_id"][:8])
    assert aliases(here)["champion"] == "2"
    assert params.read_text() == before.replace("version = 0  # new", "version = 2  # new")
    dvc(here, "repro", "--single-item", "trained_model")
    served, learnt = here / "data/trained_model", here / "data/experiments/tiny/trained_model"
    assert {path.name for path in served.iterdir()} == {"checksums.json", "model.safetensors", "model.toml"}
    assert all((learnt / path.name).read_bytes() == path.read_bytes() for path in served.iterdir())
    said = report(here, "trained_model")
    assert (said["config"], said["version"], said["mlflow_model_version"]) == ("tiny", 2, "2")
    for key in ("mlflow_run_id", "epochs", "training_s", "digest"):
        assert said[key] == tiny[key]
    dvc(here, "repro", "--single-item", "catalog_embeddings")  # from 128 dimensions to 16, in the same table
    assert report(here, "catalog_embeddings")["dimensions"] == 16
    curves = [(here / folder / "trained_model.csv").read_text() for folder in ("reports", "reports/experiments/tiny")]
    losses = [[float(row["validation_loss"]) for row in csv.DictReader(curve.splitlines())] for curve in curves]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_dvc_exp_trains_a_zoo_entry_and_lists_it(here: Path) -> None:
    words = ["-S", "params.toml:trained_model.config=tiny", "-S", "params.toml:trained_model.epochs=1"]
    # The workspace's own code, whose zoo has one entry more.
    shell(here, "dvc", "exp", "run", "--single-item", "trained_model", "--name", "try-tiny", *words)
    assert (report(here, "trained_model")["config"], report(here, "trained_model")["epochs"]) == ("tiny", 1)
    rows = csv.DictReader(dvc(here, "exp", "show", "--csv", "--no-pager").splitlines())
    configs = {row["Experiment"] or row["rev"]: row["trained_model.config"] for row in rows}
    assert configs == {"workspace": "tiny", "main": "mildnet_small", "try-tiny": "tiny"}


def test_the_leaderboard_compares_what_was_tested_alike(here: Path) -> None:
    line, tiny = report(here, "evaluation"), report(here, "experiments/tiny/evaluation")
    by_recall = sorted([(line["recall_at_1"], "mildnet_small"), (tiny["recall_at_1"], "tiny")], reverse=True)
    frame = leaderboard.table()
    assert list(zip(frame["recall@1"], frame["config"], strict=True)) == by_recall
    assert dict(zip(frame["config"], frame["status"], strict=True)) == {
        "mildnet_small": "champion",
        "tiny": "challenger",
    }
    client_of(here).set_tag(str(tiny["mlflow_run_id"]), "evaluation.test_digest", "another")
    client_of(here).log_metric(str(tiny["mlflow_run_id"]), "recall_at_1", 1.0)
    assert list(leaderboard.table()["config"]) == ["mildnet_small", "tiny"]  # another test is no comparison


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_a_click_sorts_the_leaderboard(here: Path) -> None:
    models.leaderboard()
    with (here / "reports/leaderboard.csv").open() as file:
        by_size = [row["config"] for row in sorted(csv.DictReader(file), key=lambda row: float(row["parameters"]))]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto((here / "reports/leaderboard.html").as_uri())
        for wanted in (by_size[::-1], by_size):
            page.get_by_role("columnheader", name="parameters").click()
            assert page.locator("tbody tr td:first-child").all_inner_texts() == wanted
        assert page.locator("tr.champion").inner_text().split()[:3] == ["mildnet_small", "1", "champion"]
        browser.close()
