"""Dagster's webserver and daemon, MLflow's server and DVC, all real, on the toy project."""

import re
import socket
import subprocess
import sys
from typing import Any

import httpx
import psutil

from tests.orchestration.running import UI, Toy, environment, wait


def fresh(ui: UI) -> bool:
    return all(asset["stale"] == "FRESH" for asset in ui.assets().values())


def test_a_click_is_a_dvc_repro(ui: UI) -> None:
    assert ui.toy.up_to_date
    assert fresh(ui)
    assert set(ui.came().values()) == {"ran"}
    photos, model = ui.assets()["photos"]["shown"], ui.assets()["model"]["shown"]
    assert photos["photos"] == {"__typename": "IntMetadataEntry", "intValue": 3}
    assert photos["pictures"]["mdStr"].startswith("![photos](data:image/webp;base64,")
    assert model["pictures"]["mdStr"].startswith("![Loss](data:image/svg+xml;base64,")
    assert model["mlflow_url"]["url"] == "http://127.0.0.1:1/#/runs/1"
    assert model["learnt"]["boolValue"] is True


def test_a_dvc_repro_is_seen_and_a_click_then_runs_nothing(ui: UI) -> None:
    ui.toy.set("learning_rate", 2e-05)  # of model: photos stays as it is
    wait(lambda: ui.assets()["model"]["stale"] == "STALE", "the edited parameter to show")
    before = ui.came()["photos"]
    ui.toy.dvc("repro")
    wait(lambda: ui.came()["answers"] == "made in a shell", "the sensor")
    assert ui.came() == {"photos": before, "model": "made in a shell", "answers": "made in a shell"}
    wait(lambda: fresh(ui), "the sensor to have seen all of it")  # it may look between two stages
    assert ui.ended(ui.launch()) == "SUCCESS"
    assert {came.partition(":")[0] for came in ui.came().values()} == {"unchanged"}
    assert fresh(ui)


def test_runs_over_the_catalog_wait_for_each_other_and_others_do_not(ui: UI) -> None:
    ui.toy.set("seconds", 300)
    mark = ui.toy.root / "under_way"
    mark.unlink(missing_ok=True)
    first = ui.launch()
    wait(mark.exists, "the slow stage to start")
    second, bell = ui.launch(), ui.launch("bell")
    assert ui.ended(bell) == "SUCCESS"
    assert (ui.status(first), ui.status(second)) == ("STARTED", "QUEUED")
    ui.toy.set("seconds", 0)
    ui.terminate(first)
    assert (ui.ended(first), ui.ended(second)) == ("CANCELED", "SUCCESS")
    assert ui.times(second)[0] >= ui.times(first)[1]


def test_a_closed_gate_stops_what_follows(ui: UI) -> None:
    before = ui.assets()["model"]["runId"]
    ui.toy.set("lost_share", 0.5)
    run = ui.launch()
    assert ui.ended(run) == "FAILURE"
    assert ui.assets()["photos"]["runId"] == run
    assert ui.assets()["model"]["runId"] == before
    query = """query ($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) { ... on AssetNode { assetChecksOrError {
        ... on AssetChecks { checks { name blocking executionForLatestMaterialization {
            status evaluation { description } } } } } } } }"""

    def look() -> dict[str, Any]:
        (check,) = ui.dagster.ask(query, k={"path": ["photos"]})["assetNodeOrError"]["assetChecksOrError"]["checks"]
        return dict(check)

    check = look()
    assert (check["name"], check["blocking"]) == ("lost_share", True)
    assert check["executionForLatestMaterialization"] == {
        "status": "FAILED",
        "evaluation": {"description": "lost_share is 0.5; at most 0.1 is allowed"},
    }
    ui.toy.set("lost_share", 0.0)
    ui.toy.dvc("repro")  # a shell opens the gate again
    wait(
        lambda: (look()["executionForLatestMaterialization"] or {}).get("status") == "SUCCEEDED", "the check to follow"
    )


def test_a_killed_daemon_is_started_again(ui: UI) -> None:
    def daemon() -> psutil.Process | None:
        for process in psutil.process_iter(["cmdline", "cwd"]):  # others end while one looks; their values are None
            if "dagster._daemon" in (process.info["cmdline"] or ()) and process.info["cwd"] == str(ui.toy.root):
                return process
        return None

    killed = daemon()
    assert killed is not None
    killed.kill()
    wait(lambda: daemon() not in (None, killed), "another daemon")
    assert ui.ended(ui.launch("bell")) == "SUCCESS"  # launched by the daemon


def test_a_typing_error_leaves_the_graph_and_is_told(ui: UI) -> None:
    file = ui.toy.root / "params.toml"
    before = file.read_text()
    file.write_text(before.replace("k = 3", "k = = 3"))
    fault = "params.toml:10: Unexpected character: '=' at line 10 col 4"
    query = "{ assetNodes { assetKey { path } description } }"

    def shown() -> dict[str, str]:
        return {node["assetKey"]["path"][0]: node["description"] or "" for node in ui.dagster.ask(query)["assetNodes"]}

    wait(lambda: fault in shown().get("photos", ""), "the line to be shown")
    assert {"photos", "model", "answers"} <= set(shown())
    run = ui.launch()
    assert ui.ended(run) == "FAILURE"
    failures = """query ($r: ID!) { logsForRun(runId: $r) { ... on EventConnection { events {
        ... on ExecutionStepFailureEvent { error { message } } } } } }"""
    said = [e["error"]["message"] for e in ui.dagster.ask(failures, r=run)["logsForRun"]["events"] if e.get("error")]
    assert fault in said[0]
    file.write_text(before)
    wait(lambda: fault not in shown()["photos"], "the graph as it was")


def test_mlflow_answers(ui: UI) -> None:
    assert httpx.get(f"{ui.mlflow_url}/health", trust_env=False).text == "OK"


def test_a_taken_port_is_one_line(toy: Toy) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "orchestration.ui", "--port", port]
        done = subprocess.run(command, cwd=toy.root, env=environment(), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        f"error: port {port} on 127.0.0.1 cannot be had (Address already in use); choose another: --port"
    )
    assert re.search(r", as in `python -m orchestration\.ui --port \d+`$", line)
