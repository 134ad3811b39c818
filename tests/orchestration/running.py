"""A small DVC project made from nothing, and Dagster and MLflow running on it for real."""

import atexit
import contextlib
import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from orchestration.ui.watch import Dagster
from tests import forked

REPOSITORY = Path(__file__).parents[2]
TOY = Path(__file__).with_name("toy")
STAGES = ("photos", "model", "answers")
LOCATION = {"repositoryLocationName": "toy_definitions", "repositoryName": "__repository__"}


@dataclass(frozen=True)
class Toy:
    """The toy project, as a person in a shell has it."""

    root: Path

    def dvc(self, *words: str) -> str:
        """Run `dvc` to its end, and return what it said."""
        command = [forked.programs() / "dvc", *words]
        done = subprocess.run(command, cwd=self.root, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def set(self, name: str, value: object) -> None:
        """Change one line of params.toml."""
        file = self.root / "params.toml"
        text, changed = re.subn(rf"^{name} = .*$", f"{name} = {value}", file.read_text(), flags=re.MULTILINE)
        assert changed == 1, name
        file.write_text(text)

    @property
    def up_to_date(self) -> bool:
        return "up to date" in self.dvc("status")


@dataclass(frozen=True)
class UI:
    """Dagster and MLflow as `python -m orchestration.ui` started them on the toy project."""

    toy: Toy
    url: str
    mlflow_url: str
    dagster: Dagster

    def launch(self, job: str = "everything", asset: str = "", partition: str = "") -> str:
        """Launch a job (of itself, the whole line), or one partition of an asset, and return the run's id."""
        query = """mutation ($s: JobOrPipelineSelector!, $t: [ExecutionTag!]) {
            launchRun(executionParams: {selector: $s, mode: "default", executionMetadata: {tags: $t}}) {
                __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
        asked: dict[str, object] = {**LOCATION, "pipelineName": job}
        if asset:
            asked |= {"pipelineName": "__ASSET_JOB", "assetSelection": [{"path": [asset]}]}
        tags = [{"key": "dagster/partition", "value": partition}] if partition else []
        launched = self.dagster.ask(query, s=asked, t=tags)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def terminate(self, run: str) -> None:
        """Press "Terminate"."""
        self.dagster.ask("mutation ($r: String!) { terminateRun(runId: $r) { __typename } }", r=run)

    def events(self, run: str) -> list[str]:
        """Return the kinds of the events of a run."""
        query = "query ($r: ID!) { logsForRun(runId: $r) { ... on EventConnection { events { __typename } } } }"
        return [event["__typename"] for event in self.dagster.ask(query, r=run)["logsForRun"]["events"]]

    def add_batch(self, batch: str) -> None:
        """Add a partition to those of `feed_batches`, as the sensor on the inbox does."""
        where = {key: LOCATION[key] for key in ("repositoryName", "repositoryLocationName")}
        query = """mutation ($r: RepositorySelector!, $p: String!) {
            addDynamicPartition(repositorySelector: $r, partitionsDefName: "feed_batches", partitionKey: $p) {
                __typename } }"""
        assert "Success" in str(self.dagster.ask(query, r=where, p=batch))

    def status(self, run: str) -> str:
        query = "query ($r: ID!) { runOrError(runId: $r) { ... on Run { status } } }"
        return str(self.dagster.ask(query, r=run)["runOrError"]["status"])

    def times(self, run: str) -> tuple[float, float]:
        """Return when a run that has ended began and ended, in seconds."""
        query = "query ($r: ID!) { runOrError(runId: $r) { ... on Run { startTime endTime } } }"
        found = self.dagster.ask(query, r=run)["runOrError"]
        return float(found["startTime"]), float(found["endTime"])

    def ended(self, run: str) -> str:
        """Wait until a run has ended, and return how."""
        wait(lambda: self.status(run) in ("SUCCESS", "FAILURE", "CANCELED"), f"run {run} to end")
        return self.status(run)

    def assets(self) -> dict[str, dict[str, Any]]:
        """Return the staleness of each asset of the line, and its last materialization's run and metadata by label."""
        query = """{ assetNodes { assetKey { path } staleStatus assetMaterializations(limit: 1) {
            runId metadataEntries { label __typename ... on TextMetadataEntry { text }
            ... on MarkdownMetadataEntry { mdStr } ... on UrlMetadataEntry { url }
            ... on BoolMetadataEntry { boolValue } ... on IntMetadataEntry { intValue } } } } }"""
        found = {}
        for node in self.dagster.ask(query)["assetNodes"]:
            last = (node["assetMaterializations"] or [{"runId": None, "metadataEntries": []}])[0]
            shown = {entry.pop("label"): entry for entry in last["metadataEntries"]}
            if (name := "/".join(node["assetKey"]["path"])) in STAGES:
                found[name] = {"stale": node["staleStatus"], **last, "shown": shown}
        return found

    def came(self) -> dict[str, str]:
        """Return how each asset came to be what it is, in the bridge's words."""
        return {key: asset["shown"].get("dvc", {}).get("text", "") for key, asset in self.assets().items()}


def environment() -> dict[str, str]:
    """Return the environment of a person's shell: this Python first, none of a surrounding Dagster, DVC or MLflow."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("DAGSTER", "DVC", "MLFLOW", "VISNET"))
    }
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**kept, "PATH": programs, "PYTHONPATH": str(REPOSITORY), "DVC_NO_ANALYTICS": "1"}


def lives(process: psutil.Process) -> bool:
    """Whether a process still runs; a dead one may stay a zombie where nobody reaps it."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def wait(until: Callable[[], bool], what: str, timeout_s: float = 120) -> None:
    end = time.monotonic() + timeout_s
    while not until():
        assert time.monotonic() < end, f"waited {timeout_s:g} s for {what}"
        time.sleep(0.3)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@functools.cache
def _blank() -> Path:
    """Return a folder with git and DVC set up in it, which nothing in it knows the name of."""
    blank = Path(tempfile.mkdtemp(prefix="blank-"))
    atexit.register(shutil.rmtree, blank, ignore_errors=True)
    subprocess.run(["git", "init", "-q", str(blank)], check=True)
    Toy(blank).dvc("init", "-q")
    return blank


def make_toy(root: Path) -> Toy:
    shutil.copytree(_blank(), root, dirs_exist_ok=True)
    for file in TOY.iterdir():
        if file.is_file():
            shutil.copy(file, root / file.name.replace("pipeline.yaml", "dvc.yaml"))
    (root / "source.txt").write_text("crimson gold teal\n")
    for folder in ("data", "reports", "inbox", "visnet/zoo"):
        (root / folder).mkdir(parents=True)
    (root / "visnet/__init__.py").touch()
    (root / "visnet/zoo/small.toml").touch()
    (root / "commands.py").rename(root / "visnet/__main__.py")  # found before ours: it runs in this folder
    return Toy(root)


@contextlib.contextmanager
def running_ui(toy: Toy) -> Iterator[UI]:
    """Start both servers, give them, and stop them as Ctrl-C does."""
    port, mlflow_port = free_port(), free_port()
    command = [sys.executable, "-m", "orchestration.ui", "--module", "toy_definitions"]
    command += ["--port", str(port), "--mlflow-port", str(mlflow_port)]
    process = subprocess.Popen(command, cwd=toy.root, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(3)]
        assert "Ctrl-C" in said[-1], said
        url, mlflow_url = said[0].split()[1], said[1].split()[1].partition("/#")[0]
        with contextlib.closing(Dagster(url)) as dagster:
            yield UI(toy, url, mlflow_url, dagster)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            process.stdout.close()
