"""Which MLflow run an answer's model learnt in, where its training said so; nothing that is not so is told."""

import json
from pathlib import Path

import pytest

from tests.refreshing import put_stock, refresh, stock
from tests.serving.app.running import photo_of, search, served
from visnet.pipeline.reports import write_report
from visnet.serving import candidate, catalog

RUN = "f3c3e4b3a4a14a41b40bf93bb22bec52"


def model_of(shop: Path) -> str:
    with catalog.open_current(shop / "data") as version:
        return str(version.facts()["model"])


def told(shop: Path) -> list[str | None]:
    with served(shop / "data") as client:
        answers = search(client, photo_of(shop, "p003-0-1")), client.get("/v1/catalog")
        return [answer.json()["lineage"]["mlflow_run"] for answer in answers]


def test_it_is_that_of_the_report_of_its_training(shop: Path) -> None:
    assert told(shop) == [None, None], "this model was put there by hand"
    write_report("trained_model", {"digest": model_of(shop)[:32], "mlflow_run_id": RUN}, shop / "reports")
    put_stock(shop, stock(25))
    refresh(shop)
    assert told(shop) == [RUN, RUN]


@pytest.mark.parametrize(
    "report",
    [
        json.dumps({"digest": "0" * 32, "mlflow_run_id": RUN}),  # of another training
        json.dumps({"digest": "", "mlflow_run_id": RUN}),
        json.dumps({"mlflow_run_id": None}),  # the tracker was gone
        "no report",
    ],
)
def test_there_is_none_where_the_report_is_of_another_model_or_says_nothing(tmp_path: Path, report: str) -> None:
    assert candidate.run_of("a" * 64, tmp_path) is None
    (tmp_path / "trained_model.json").write_text(report)
    assert candidate.run_of("a" * 64, tmp_path) is None
