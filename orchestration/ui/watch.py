"""Speak with a running Dagster: have it read the project again, and end its runs in good order."""

import contextlib
import itertools
import time
from pathlib import Path
from typing import Any

import httpx

FILES_PER_FOLDER = 2000  # a source may lie in a folder of a million photos; that is not code
UNDER_WAY = ("STARTING", "STARTED", "CANCELING")


class Dagster:
    """The GraphQL side of a Dagster webserver."""

    def __init__(self, url: str, auth: tuple[str, str] | None = None) -> None:
        self._client = httpx.Client(base_url=url, timeout=30, trust_env=False, auth=auth)

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """Send one query; raise `httpx.HTTPError` when Dagster does not answer, `ValueError` when it refuses."""
        answer = self._client.post("/graphql", json={"query": query, "variables": variables})
        body: dict[str, Any] = answer.raise_for_status().json()
        if body.get("errors"):
            raise ValueError(f"Dagster refused: {body['errors'][0]['message']}")
        return dict(body["data"])

    def reload(self) -> None:
        """Have the assets read again, with the code versions that the files give now."""
        self.ask("mutation { reloadWorkspace { __typename } }")

    def runs_under_way(self) -> list[str]:
        """Return the ids of the runs that have started and not ended."""
        query = "query ($s: [RunStatus!]) { runsOrError(filter: {statuses: $s}) { ... on Runs { results { runId } } } }"
        return [run["runId"] for run in self.ask(query, s=UNDER_WAY)["runsOrError"]["results"]]

    def cancel_runs(self, wait_s: float = 60) -> None:
        """Cancel every run under way and wait until their stages have ended."""
        for run in self.runs_under_way():
            self.ask("mutation ($r: String!) { terminateRun(runId: $r) { __typename } }", r=run)
        until = time.monotonic() + wait_s
        while self.runs_under_way() and time.monotonic() < until:
            time.sleep(0.5)


def close_dead_runs(home: Path) -> None:
    """Mark as failed the runs of servers that were killed; such a run would hold the queue for ever."""
    from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

    statuses = [DagsterRunStatus(name) for name in UNDER_WAY]
    with DagsterInstance.from_config(str(home)) as instance:
        for run in instance.get_runs(RunsFilter(statuses=statuses)):
            if "dagster/grpc_info" in run.tags:  # a child of a server; `dg launch` runs without one
                instance.report_run_failed(run, "The server that ran this was killed.")


class Edits:
    """Watch dvc.yaml, the parameters and the code that its stages name; `problem` is what cannot be read of them."""

    def __init__(self, root: Path) -> None:
        self._root, self.problem = root, ""
        self._paths = self._named() or [root / "dvc.yaml", root / "params.toml"]
        self._seen = self._stats()

    def came(self) -> bool:
        """Whether anything was edited since the last call."""
        now = self._stats()
        if now == self._seen:
            return False
        self._paths = self._named() or self._paths  # while dvc.yaml cannot be read, watch what it named before
        self._seen = self._stats()
        return True

    def _named(self) -> list[Path]:
        from orchestration.bridge.unreadable import Unreadable, read

        try:
            stages, self.problem = read(self._root).values(), ""
        except Unreadable as error:
            self.problem = str(error)
            return []
        named = {stage.folder / path for stage in stages for path in (*stage.sources, *stage.params)}
        return sorted({self._root / "dvc.yaml"} | {stage.folder / "dvc.yaml" for stage in stages} | named)

    def _stats(self) -> list[tuple[str, int, int]]:
        seen = []
        for path in self._paths:
            inside = itertools.islice(path.rglob("*"), FILES_PER_FOLDER) if path.is_dir() else [path]
            for file in inside:
                if "__pycache__" in file.parts:
                    continue
                with contextlib.suppress(FileNotFoundError):
                    known = file.stat()
                    seen.append((str(file), known.st_mtime_ns, known.st_size))
        return seen
