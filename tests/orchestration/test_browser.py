"""What a person sees in Chromium: the asset graph, an asset with its contact sheet, two trainings compared."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.chromium import CHROMIUM, FLAGS, IN_CHROMIUM
from tests.orchestration.running import UI

WIDTH = "image => image.complete && image.naturalWidth"

pytestmark = IN_CHROMIUM


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        yield page
        browser.close()


def test_asset_graph(ui: UI, page: Page) -> None:
    page.goto(f"{ui.url}/asset-groups")
    for stage in ("photos", "model", "answers"):
        expect(page.get_by_text(stage, exact=True).first).to_be_visible()
    expect(page.get_by_text("Materialized").first).to_be_visible()
    expect(page.get_by_text("1 / 1 Passed")).to_be_visible()


def test_asset_page_shows_sheet_and_curves(ui: UI, page: Page) -> None:
    page.goto(f"{ui.url}/assets/photos")
    expect(page.get_by_text("Some photos")).to_be_visible()
    sheet = page.get_by_role("img", name="photos", exact=True)  # small enough to stand in the page
    expect(sheet).to_be_visible()
    assert sheet.evaluate(WIDTH) == 480
    page.goto(f"{ui.url}/assets/model")
    page.get_by_text("[Show Markdown]").click()
    chart = page.get_by_role("img", name="Loss")
    expect(chart).to_be_visible()
    assert chart.evaluate(WIDTH) == 520


def test_two_trainings_compared(ui: UI, page: Page, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(
        f"sqlite:///{ui.toy.root}/.mlflow/mlflow.db"
    )  # as a stage in a shell logs: to the file itself
    experiment = client.create_experiment("compared", artifact_location=str(tmp_path))
    runs = []
    for name, recall in (("small", 0.25), ("large", 0.75)):
        run = client.create_run(experiment, run_name=name).info.run_id
        client.log_param(run, "config", f"net_{name}")
        client.log_metric(run, "recall_at_1", recall)
        client.set_terminated(run)
        runs.append(f'"{run}"')
    page.goto(f'{ui.mlflow_url}/#/compare-runs?runs=[{",".join(runs)}]&experiments=["{experiment}"]')
    expect(page.get_by_text("Comparing 2 Runs from 1 Experiment")).to_be_visible()
    for seen in ("net_small", "net_large", "0.25", "0.75"):
        expect(page.get_by_text(seen, exact=True).last).to_be_visible()
