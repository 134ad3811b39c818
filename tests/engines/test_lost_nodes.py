"""Stages on a Ray cluster of three nodes: equal to one process, whatever is lost or stopped meanwhile."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from orchestration.bridge import process
from tests import workspace
from tests.engines import nodes
from tests.engines.nodes import Nodes
from tests.engines.runs import RUN, environment, forked_run, on_the_cluster, started, wait_for, workers
from visnet.storage.table import Table

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def anew(shop: Path, tmp_path: Path) -> Path:
    """The shop with nothing embedded, whose parameters choose Ray."""
    folder = Path(shutil.copytree(shop, tmp_path / "shop"))
    for stage in ("catalog_embeddings", "knn_results"):
        shutil.rmtree(folder / "data" / stage)
        text = (folder / "params.toml").read_text(encoding="utf-8").replace(f"[{stage}]", f'[{stage}]\nengine = "ray"')
        (folder / "params.toml").write_text(text, encoding="utf-8")
    return folder


def rows(folder: Path) -> int:
    table = Table(folder / "data/catalog_embeddings/embeddings.lance")
    return table.count() if table.exists() else 0


def test_a_node_lost_in_the_middle_costs_nothing(three: Nodes, shop: Path, anew: Path) -> None:
    run = started(anew, "catalog_embeddings", forked_run())
    wait_for(lambda: rows(anew) > 0, run)
    nodes.kill(three.nodes[-1])
    done = rows(anew)
    said = run.communicate(timeout=300)[0]
    assert run.returncode == 0, said
    assert done < 675
    ids = Table(anew / "data/catalog_embeddings/embeddings.lance").read(["crop_id"])["crop_id"].to_pylist()
    assert len(ids) == len(set(ids)) == 675
    found, wanted = (workspace.report(folder, "catalog_embeddings") for folder in (anew, shop))
    assert found["digest"] == wanted["digest"]
    assert on_the_cluster(said), said
    assert "embeddings 675/675 (100%)" in said
    assert len(said.splitlines()) < 12, said
    assert "  Ray: Raylet is terminated" in said
    three.join()

    run = started(anew, "knn_results", forked_run())
    said = run.communicate(timeout=300)[0]
    assert run.returncode == 0, said
    found, wanted = (workspace.report(folder, "knn_results") for folder in (anew, shop))
    assert {**found, "wall_s": 0} == {**wanted, "wall_s": 0}
    assert workers(three) == []


def test_a_stopped_run_leaves_no_process_and_the_next_does_the_rest(three: Nodes, shop: Path, anew: Path) -> None:
    run = started(anew, "catalog_embeddings")
    wait_for(lambda: rows(anew) > 0, run)
    run.send_signal(signal.SIGTERM)
    said = run.communicate(timeout=60)[0]
    assert run.returncode == 130, said
    assert "Traceback" not in said
    until = time.monotonic() + 30
    while workers(three):
        assert time.monotonic() < until, workers(three)
        time.sleep(0.1)
    before = rows(anew)
    assert 0 < before < 675
    run = started(anew, "catalog_embeddings", forked_run())
    said = run.communicate(timeout=300)[0]
    assert run.returncode == 0, said
    found = workspace.report(anew, "catalog_embeddings")
    assert (found["unchanged"], found["added"]) == (before, 675 - before)
    assert found["digest"] == workspace.report(shop, "catalog_embeddings")["digest"]


def test_a_cancelled_asset_ends_a_cluster_of_its_own(anew: Path) -> None:
    """As `orchestration` ends what it runs: the driver, and all that it started for itself."""
    environ = {name: value for name, value in environment().items() if not name.startswith("RAY_")}
    mark = "cancelled-by-a-test"
    child = subprocess.Popen(
        [*RUN, "catalog_embeddings"], cwd=anew, env=process.marked(environ, mark), stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 200
    while not rows(anew):
        assert child.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    begun_s = time.monotonic()
    process.end_group(child, mark=mark)
    assert time.monotonic() - begun_s < 10  # of its own accord, when interrupted
    assert child.wait() == 130
    assert [one for one in psutil.process_iter() if marked(one, mark)] == []


def marked(one: psutil.Process, mark: str) -> bool:
    try:
        return one.status() != psutil.STATUS_ZOMBIE and mark in one.environ().get(process.MARK, "")
    except psutil.Error:
        return False
