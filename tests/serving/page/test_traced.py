"""The trace of a product on the page, against what the API says of it."""

import re
from typing import Any

import httpx

from tests.chromium import IN_CHROMIUM
from tests.serving.page.searching import Open, Service, products, searched

pytestmark = IN_CHROMIUM
STEPS = [
    "Record",
    "Photos",
    "Dagster run",
    "MLflow run",
    "DVC data",
    "Catalog version",
    "Changes since",
    "Now",
]
NAME = "From record to answer"


def test_with_details_a_product_has_its_trace_and_a_photo_that_was_asked_with_has_none(
    tab: Open, service: Service
) -> None:
    from playwright.sync_api import expect

    page = tab("/p/p007", viewport={"width": 390, "height": 844})
    products(page)
    trace = page.get_by_role("region", name=NAME)
    expect(trace).to_have_count(0)
    page.get_by_role("switch", name="Details").click()
    expect(trace.get_by_role("heading", level=3)).to_have_text(STEPS)
    said = httpx.get(f"{service.url}/v1/products/p007/trace").json()
    steps = dict(zip(STEPS, trace.get_by_role("listitem").all_inner_texts(), strict=True))
    assert (said["record"], "of a source that is no feed" in steps["Record"]) == (None, True)
    assert [photo["vector"] in steps["Photos"] for photo in said["photos"]] == [True, True]
    assert f"model {said['version']['model']}" in steps["MLflow run"]
    assert steps["Now"].endswith("answers with 2 photos")
    assert re.search(r"\b1, published \d", steps["Catalog version"])
    expect(trace.get_by_role("link")).to_have_count(0)  # no address is configured
    assert page.evaluate("document.documentElement.scrollWidth") == 390, "nothing is wider than the phone"
    other = searched(tab, service)
    other.get_by_role("switch", name="Details").click()
    expect(other.locator(".lineage")).to_be_visible()
    expect(other.get_by_role("region", name=NAME)).to_have_count(0)


def test_runs_link_to_where_their_pages_are_and_what_is_taken_back_is_said_to_be(tab: Open) -> None:
    from playwright.sync_api import expect

    urls = {
        "dagster_url": "https://dagster.example/runs/r1",
        "mlflow_url": "https://mlflow.example/#/experiments/1/runs/r2",
    }
    names = {"dagster_run": "r1", "mlflow_run": "<i>r2</i>"}

    def other(route: Any) -> None:
        said = route.fetch().json()
        said["version"] |= urls | names
        route.fulfill(json=said | {"now": {"state": "withdrawn", "changed": True, "photos": 0}})

    page = tab("/")
    page.route("**/v1/products/p007/trace", other)
    page.goto(page.url + "p/p007?view=merchandiser")
    trace = page.get_by_role("region", name=NAME)
    expect(trace.get_by_role("link")).to_have_text(list(names.values()))
    assert [link.get_attribute("href") for link in trace.get_by_role("link").all()] == list(urls.values())
    expect(trace.get_by_role("listitem").last).to_contain_text("was withdrawn, and answers nothing")


def test_a_trace_that_fails_costs_no_answer_and_is_asked_for_again_with_the_switch(tab: Open) -> None:
    from playwright.sync_api import expect

    page = tab("/", refused=True)
    problem = {"title": "Conflict", "status": 409, "detail": "not now"}
    page.route("**/v1/products/p007/trace", lambda route: route.fulfill(status=409, json=problem))
    page.goto(page.url + "p/p007?view=merchandiser")
    trace = page.get_by_role("region", name=NAME)
    expect(trace).to_contain_text("The trace could not be read: not now")
    assert products(page)
    page.unroute("**/v1/products/p007/trace")
    for _ in range(2):
        page.get_by_role("switch", name="Details").click()
    expect(trace.get_by_role("listitem")).to_have_count(len(STEPS))
