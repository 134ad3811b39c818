"""Prometheus' rules and Grafana's dashboard: what they ask is what a served catalog says of itself, and is PromQL."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.docker.composed import COMPOSE, SERVICES
from tests.serving.app.running import photo_of, search, served, whole
from tests.workspace import ROOT

FOLDER = ROOT / "docker"
ALERTS = FOLDER / "prometheus/alerts.yaml"
GROUPS = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
DASHBOARD = json.loads((FOLDER / "grafana/visnet.json").read_text(encoding="utf-8"))
TARGETS = [(panel["title"], target) for panel in DASHBOARD["panels"] for target in panel["targets"]]
EXPRESSIONS = {rule["alert"]: str(rule["expr"]) for rule in RULES}
EXPRESSIONS |= {f"{title} {target['refId']}": str(target["expr"]) for title, target in TARGETS}
GIVEN = {"job", "instance"}  # labels that Prometheus itself adds
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*"}  # of Grafana


def parsed(expression: str) -> promql.Expr:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return promql.parse(expression)


def selectors(node: Any) -> Iterator[promql.VectorSelector]:
    """Give the selectors anywhere below a node of a parsed expression."""
    found: list[Any] = []
    promql.walk(node, lambda one: found.append(one) or True)
    for one in found:
        if isinstance(one, promql.VectorSelector):
            yield one
        elif isinstance(one, promql.MatrixSelector):
            yield one.vector_selector


def grouped(node: Any) -> set[str]:
    """Return the labels by which anything below a node is summed."""
    found: list[Any] = []
    promql.walk(node, lambda one: found.append(one) or True)
    sums = [one for one in found if isinstance(one, promql.AggregateExpr) and one.modifier is not None]
    return {label for one in sums for label in one.modifier.labels}


@pytest.fixture(scope="module")
def told(published: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    """Return metric -> the labels of its series, as a service says them after some requests."""
    shop = whole(published, tmp_path_factory.mktemp("observed"))
    with served(shop / "data") as client:
        assert search(client, photo_of(shop, "p003-0-1")).is_success
        assert client.get("/readyz").is_success
        text = client.get("/metrics").text
    found: dict[str, list[dict[str, str]]] = {"up": [{}]}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(dict(sample.labels))
    return found


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_asks_for_metrics_labels_and_values_that_there_are(
    name: str, told: dict[str, list[dict[str, str]]]
) -> None:
    expression = parsed(EXPRESSIONS[name])
    known: set[str] = set()
    for one in selectors(expression):
        assert one.name in told, f"{one.name} is no metric of the service"
        labels = {label for series in told[one.name] for label in series}
        known |= labels
        for matcher in one.matchers.matchers:
            assert matcher.name in labels | GIVEN, f"{one.name} has no label {matcher.name}"
            if matcher.op == promql.MatchOp.Equal and matcher.name in ("route", "outcome"):
                assert matcher.value in {series[matcher.name] for series in told[one.name]}, matcher.value
    assert known or list(selectors(expression))
    assert grouped(expression) <= known | GIVEN


def test_what_is_looked_at_is_all_that_the_service_counts(told: dict[str, list[dict[str, str]]]) -> None:
    """A metric that neither rules nor dashboard ask for is a forgotten one."""
    asked = {one.name for text in EXPRESSIONS.values() for one in selectors(parsed(text))}
    families = {re.sub(r"_(bucket|sum|count|total|created)$", "", name) for name in told}
    assert families == {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in asked}


def test_every_alert_says_what_is_so_how_bad_it_is_and_which_entry_of_the_runbook_helps() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names) > 8
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        file, _, anchor = rule["annotations"]["runbook"].partition("#")
        headings = re.findall(r"(?m)^## (.+)$", (ROOT / file).read_text(encoding="utf-8"))
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, rule["alert"]
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            assert label in grouped(parsed(rule["expr"])) | GIVEN
        assert rule["alert"] in (ROOT / file).read_text(encoding="utf-8"), "the runbook's entry names its alerts"


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    assert (DASHBOARD["uid"], DASHBOARD["title"], DASHBOARD["schemaVersion"] >= 39) == ("visnet", "visnet", True)
    places, ids = [], []
    source = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"][0]
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert 0 <= at["x"] < at["x"] + at["w"] <= 24
        places += [(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
        ids.append(panel["id"])
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["type"] in ("stat", "timeseries")
        for one in (panel, *panel["targets"]):
            assert one["datasource"] == {"type": source["type"], "uid": source["uid"]}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
    assert len(places) == len(set(places)), "no panel lies on another"
    assert len(ids) == len(set(ids))
    variables = {one["name"] for one in DASHBOARD["templating"]["list"]}
    assert {f"${name}" for name in variables} == set(VARIABLES) - {"$__rate_interval"}


def test_compose_mounts_files_that_are_there_and_prometheus_asks_the_service_that_compose_names() -> None:
    for name in ("prometheus", "grafana"):
        service = SERVICES[name]
        assert service["profiles"] == ["observe"]
        assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", service["image"]), "pinned"
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert service["cap_drop"] == ["ALL"]
        for volume in service["volumes"]:
            source, target, *_ = volume.split(":")
            assert (FOLDER / source).exists() if source.startswith("./") else source in COMPOSE["volumes"], target
    settings = yaml.safe_load((FOLDER / "prometheus/prometheus.yml").read_text())
    mounted = [volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]]
    assert set(settings["rule_files"]) <= set(mounted)
    (job,) = settings["scrape_configs"]
    host, port = job["static_configs"][0]["targets"][0].split(":")
    assert (job["job_name"], SERVICES[host]["environment"]["PORT"]) == ("visnet", port)
    source = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"][0]
    assert httpx.URL(source["url"]).host == "prometheus"
    assert SERVICES["prometheus"]["ports"][0].endswith(f":{httpx.URL(source['url']).port}")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here: apt-get install prometheus")
def test_alerts_fire_when_they_should_and_only_then() -> None:
    for words in (
        ["check", "rules", str(ALERTS)],
        ["test", "rules", str(Path(__file__).with_name("alerts_test.yaml"))],
    ):
        done = subprocess.run(["promtool", *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
