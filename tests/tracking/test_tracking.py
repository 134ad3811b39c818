"""What stands in MLflow after the line has run: one run per training, comparable, and found from both sides."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from tests import learning, refreshing
from tests.apart import Work, within
from tests.forked import dvc, tried
from tests.workspace import environment, report, shell
from visnet import zoo
from visnet.evaluation import verdict
from visnet.pipeline.reports import LINE
from visnet.stages import evaluation
from visnet.tracking import connection, recorder, registry, serving_alias


@pytest.fixture
def shop(built: Path, tmp_path: Path) -> Path:
    """A copy of the built shop whose runs are kept in its own store."""
    return Path(shutil.copytree(built, tmp_path / "shop", symlinks=True))


def client_of(folder: Path) -> MlflowClient:
    with within(folder):
        connection.connect()  # the database of a copy names the copy from then on
    uri = f"sqlite:///{folder}/.mlflow/mlflow.db"
    mlflow.set_tracking_uri(uri)
    return MlflowClient(uri, uri)


def runs(folder: Path) -> list[Run]:
    client = client_of(folder)
    experiment = client.get_experiment_by_name("visnet")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def test_a_training_and_its_evaluation_are_one_run(built: Path) -> None:
    (run,) = runs(built)
    assert run.info.status == "FINISHED"
    assert run.info.run_id == report(built, "trained_model")["mlflow_run_id"]
    assert run.info.run_id == report(built, "evaluation")["mlflow_run_id"]
    assert run.data.params["trained_model.config"] == "mildnet_small"
    assert run.data.params["raw_images.synthetic.seed"] == "5"
    assert run.data.params["model.loss.name"] == zoo.entry("mildnet_small").loss.name
    for name in ("recall_at_1", "baseline/colour_histogram_recall_at_1", "train_loss", "recall_at_1/hats"):
        assert name in run.data.metrics
    client = client_of(built)
    curve = client.get_metric_history(run.info.run_id, "validation_triplet_accuracy")
    assert [point.step for point in curve] == [1, 2]
    assert {path.path for path in client.list_artifacts(run.info.run_id)} >= {"images"}
    assert len([a for a in client.list_artifacts(run.info.run_id, "images") if a.path.endswith(".png")]) >= 4


def test_a_run_names_the_versions_of_its_data(built: Path) -> None:
    (run,) = runs(built)
    lock = yaml.safe_load((built / "dvc.lock").read_text())["stages"]
    crops = next(out["md5"] for out in lock["crops"]["outs"] if out["path"] == "data/crops")
    assert run.data.tags["dvc.crops"] == crops
    assert "dvc.trained_model" not in run.data.tags  # dvc.lock knows the one before, if any
    digests = {one.dataset.name: one.dataset.digest for one in run.inputs.dataset_inputs}
    assert digests == {stage: report(built, stage)["digest"] for stage in ("crops", "triplets")}


def test_what_is_served_has_passed_the_evaluation_and_the_registry_says_by_which_model_it_is(tmp_path: Path) -> None:
    shop = learning.make(tmp_path / "shop", tuple("abcdef"))
    learning.run(shop, "trained_model")
    learning.evaluate(shop)
    learning.run(shop, "publish")
    first = report(shop, "evaluation")
    assert (first["champion"], first["passed"], first["queries"]) == ("1", True, 24)
    assert serving_alias_of(shop) == "1"
    learning.setting(shop, "recall_at_1_margin = 1.0", "recall_at_1_margin = 0.0")
    tiny = shop / "tiny.toml"
    tiny.write_text(
        tiny.read_text().replace("dense = [16]", "dense = [1]")
    )  # of length one: what is alike is a toss-up
    perfect(shop)
    learning.run(shop, "trained_model")
    learning.evaluate(shop)
    with pytest.raises(ValueError, match=r"\[evaluation\] the new model did not pass: recall@1 is .*; version 1 stays"):
        learning.run(shop, "publish")
    assert (refreshing.served(shop), serving_alias_of(shop)) == (1, "1")
    said = report(shop, "evaluation")
    assert (said["champion"], said["champion_recall_at_1"]) == ("1", 1.0)
    assert (said["common_queries"], said["passed"]) == (said["queries"], False)
    assert said["common_recall_at_1"] < said["common_recall_at_1_min"]

    learning.setting(shop, "recall_at_1_margin = 0.0", "recall_at_1_margin = 1.0")
    learning.run(shop, "evaluation", "publish")
    assert (refreshing.served(shop), serving_alias_of(shop)) == (2, "2")
    done = Work(shop, "rollback").end()
    assert done.returncode == 0, done.stderr
    assert serving_alias_of(shop) == "1"


def perfect(shop: Path) -> None:
    """Let the champion have answered every street photo right: nothing is as good."""
    path, kept = shop / "data/evaluation/queries.parquet", shop / verdict.QUERIES
    answers = pq.read_table(path).to_pandas()
    pq.write_table(pa.Table.from_pandas(answers.assign(rank_trained=0)), kept)
    client = client_of(shop)
    registry.keep_answers(client, str(client.get_model_version_by_alias("visnet", "champion").run_id), kept)
    kept.unlink()


def serving_alias_of(shop: Path) -> str:
    return str(client_of(shop).get_model_version_by_alias("visnet", "serving").version)


def test_without_the_tracker_a_model_is_not_judged(published: Path, tmp_path: Path) -> None:
    """The verdict says so, and nobody waits for long; `publish` does not serve a new model on it."""
    pq.write_table(pa.table({"query_id": ["a"], "rank_trained": [0]}), tmp_path / verdict.QUERIES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
        patch.chdir(tmp_path)
        with recorder.recorded("evaluation", evaluation.Params(), tmp_path, LINE, {}) as record:
            said = record.judge({"model": "m", "recall_at_1": 1.0}, tmp_path)
        publish = Path(shutil.copytree(published / "data/publish", tmp_path / "data/publish", symlinks=True))
        told = serving_alias.tell(publish)
    assert (said["passed"], verdict.read(tmp_path).passed) == (None, None)
    assert str(said["verdict"]).startswith("MLflow, which knows the champion, cannot be asked: http://127.0.0.1:1: ")
    assert told.startswith("MLflow could not be told which model is served: http://127.0.0.1:1: ")
    assert told.endswith("`python -m visnet deploy` tells it later")


def test_the_weights_are_all_that_the_model_is(built: Path) -> None:
    """The run's id must not be among them, or equal weights would be another model to everything downstream."""
    assert {path.name for path in (built / "data/trained_model").iterdir()} == {
        "checksums.json",
        "model.safetensors",
        "model.toml",
    }
    version = client_of(built).get_model_version_by_alias("visnet", "challenger")
    assert str(version.version) == report(built, "trained_model")["mlflow_model_version"]


def test_a_typo_and_a_stop_cost_the_line_nothing(shop: Path) -> None:
    made = [*(shop / "data/trained_model").iterdir(), *(shop / "reports").glob("trained_model.*")]
    before = {path: path.read_bytes() for path in made}
    params = shop / "params.toml"
    right = params.read_text()
    params.write_text(right.replace('"mildnet_small"', '"mildnet_smal"'))
    assert tried(shop, "repro").returncode
    assert {path: path.read_bytes() for path in made} == before
    assert "didn't change, skipping" in dvc(shop, "repro", "--single-item", "catalog_embeddings")

    params.write_text(right.replace("epochs = 2", "epochs = 50"))
    words = [sys.executable, "-m", "dvc", "repro", "--single-item", "trained_model"]
    child = subprocess.Popen(words, cwd=shop, env=environment(), start_new_session=True)
    curve, deadline_s = shop / "reports/trained_model.building/trained_model.csv", time.monotonic() + 120
    while not curve.exists() and child.poll() is None and time.monotonic() < deadline_s:
        time.sleep(0.1)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does
    assert child.wait(timeout=60)
    assert {path: path.read_bytes() for path in made} == before

    params.write_text(right)
    assert "didn't change, skipping" in dvc(shop, "repro", "--single-item", "trained_model")
    shutil.rmtree(shop / "data/trained_model")
    (shop / "reports/triplets.png").unlink()
    dvc(shop, "checkout")
    assert {path: path.read_bytes() for path in made} == before
    assert shell(shop, "git", "status", "--porcelain") == ""
