"""Embedding and search on a Ray cluster of three nodes: equal to one process, whatever node is lost meanwhile."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from kernels.nearest import nearest, pack_bits
from orchestration.bridge import process
from tests import refreshing, workspace
from tests.apart import within
from tests.engines import nodes, work
from tests.engines.nodes import Nodes
from visnet.embedding import spread
from visnet.embedding.crop_dataset import CropImages
from visnet.embedding.embed import embed
from visnet.engines import blocks, cluster
from visnet.engines.blocks import BlockStep, divided, mapped
from visnet.engines.shards import Shards
from visnet.errors import NotFound
from visnet.photos.cutting import BOX, cut_all
from visnet.photos.spread_cutting import cut_on
from visnet.runs import runner
from visnet.storage.table import Table
from visnet.zoo import weights

pytestmark = pytest.mark.usefixtures("one_thread")
# Agents of a node, processes without work, and what Ray Data has once in a cluster, for all jobs there will be.
OF_RAY = ("Agent", "IDLE", "ActorLocationTracker", "_Stats", "Autoscaling", "Usage")
RUN = (sys.executable, "-m", "visnet", "run")


@pytest.fixture(scope="module")
def three() -> Iterator[Nodes]:
    """Three nodes with a CPU each; tests that kill one start another."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder, nodes.cluster(Path(folder), 3) as started:
        yield started


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop of 675 crops, embedded and searched by one process."""
    folder = refreshing.make(tmp_path_factory.mktemp("local") / "shop", refreshing.stock(300))
    refreshing.refresh(folder, "raw_images", "crops", "catalog_embeddings", "knn_results")
    return folder


@pytest.fixture
def anew(shop: Path, tmp_path: Path) -> Path:
    """The shop with nothing embedded, whose parameters choose Ray."""
    folder = Path(shutil.copytree(shop, tmp_path / "shop"))
    for stage in ("catalog_embeddings", "knn_results"):
        shutil.rmtree(folder / "data" / stage)
        text = (folder / "params.toml").read_text(encoding="utf-8").replace(f"[{stage}]", f'[{stage}]\nengine = "ray"')
        (folder / "params.toml").write_text(text, encoding="utf-8")
    return folder


def started(folder: Path, *words: str) -> "subprocess.Popen[str]":
    command = [*(words or RUN)]
    return subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(workspace.ROOT), os.environ.get("PYTHONPATH", "")])
    return {**workspace.environment(), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def rows(folder: Path) -> int:
    table = Table(folder / "data/catalog_embeddings/embeddings.lance")
    return table.count() if table.exists() else 0


def wait_for(what: Callable[[], bool], of: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 200
    while not what():
        assert of.poll() is None, of.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.02)


def workers(three: Nodes) -> list[str]:
    """Name the processes of jobs on the cluster; Ray's own are not of them, nor what waits for work."""
    names = [process.cmdline()[0] for process in three.processes() if process.name().startswith("ray::")]
    return [name for name in names if not any(own in name for own in OF_RAY)]


def test_a_node_lost_in_the_middle_costs_nothing(three: Nodes, shop: Path, anew: Path) -> None:
    run = started(anew, *RUN, "catalog_embeddings")
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
    assert "on the Ray cluster, 3 nodes with 3 CPUs" in said
    assert "embeddings 675/675 (100%)" in said
    assert len(said.splitlines()) < 12, said
    assert "  Ray: Raylet is terminated" in said
    three.join()

    run = started(anew, *RUN, "knn_results")
    said = run.communicate(timeout=300)[0]
    assert run.returncode == 0, said
    found, wanted = (workspace.report(folder, "knn_results") for folder in (anew, shop))
    assert {**found, "wall_s": 0} == {**wanted, "wall_s": 0}
    assert workers(three) == []


def test_a_stopped_run_leaves_no_process_and_the_next_does_the_rest(three: Nodes, shop: Path, anew: Path) -> None:
    run = started(anew, *RUN, "catalog_embeddings")
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
    run = started(anew, *RUN, "catalog_embeddings")
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


@pytest.fixture(scope="module")
def connected(three: Nodes) -> Iterator[cluster.Cluster]:
    with cluster.connected() as found:
        yield found


@pytest.fixture(scope="module")
def shards(connected: cluster.Cluster) -> Shards:
    return Shards(3)


def numbers(count: int) -> pa.Table:
    return pa.table({"number": pa.array(range(count), pa.int64())})


@pytest.mark.parametrize(("count", "size"), [(0, 4), (1, 4), (23, 4)])
def test_blocks_come_back_in_order(count: int, size: int, connected: cluster.Cluster, tmp_path: Path) -> None:
    load = work.Doubling(tmp_path / "loaded")
    made = list(
        mapped(divided(numbers(count), size), [BlockStep(load, processes=2), BlockStep(work.Doubling(tmp_path / "x"))])
    )
    assert [one for part in made for one in part["number"].to_pylist()] == [4 * one for one in range(count)]
    loaded = load.notes.read_text(encoding="utf-8").split() if load.notes.exists() else []
    assert len(loaded) == len(set(loaded)) <= 2  # once in each process that stays


@pytest.mark.parametrize(
    ("load", "processes", "error", "said"),
    [
        (work.refusing, None, ValueError, "crop 0 does not decode"),
        (work.losing, 2, RuntimeError, "Ray gave other rows than row 0"),
        (work.misread, 2, NotFound, "no such model here"),
        (work.unpicklable, None, RuntimeError, "Odd: a, b"),
    ],
)
def test_what_goes_wrong_in_a_process_is_raised_here(
    load: blocks.Work, processes: int | None, error: type[Exception], said: str, connected: cluster.Cluster
) -> None:
    with pytest.raises(error) as raised:
        list(mapped(divided(numbers(8), 4), [BlockStep(load, processes=processes), BlockStep(work.doubling, rows=3)]))
    assert type(raised.value) is error
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


def test_crops_decoded_in_one_process_and_embedded_in_another(shop: Path, connected: cluster.Cluster) -> None:
    """The steps of a cluster with GPUs, on CPUs."""
    path, trained = shop / "data/crops/crops.lance", shop / "data/trained_model"
    model, entry = weights.load(trained)
    ids = sorted(Table(path).read(["crop_id"])["crop_id"].to_pylist())[:50]
    images = CropImages(path, ids, entry.side_px, keep=False)
    wanted = torch.cat([vectors for _, vectors in embed(model, images, batch=8, precision="fp32")])
    rows = pa.table({"crop_id": ids, "position": images.positions})
    embedding = spread.Embedding(trained, weights.digest(model.state_dict()), 8, "fp32", 1)
    apart = [BlockStep(spread.Decoding(images)), BlockStep(embedding, processes=1, rows=8)]
    made = list(mapped(divided(rows, 16), apart))
    assert torch.equal(torch.tensor([one for part in made for one in part["vector"].to_pylist()]), wanted)


def test_crops_cut_on_the_cluster_are_those_of_one_process(
    shop: Path, connected: cluster.Cluster, tmp_path: Path
) -> None:
    """Whole photos, boxes of which some lie outside, several boxes of one photo; and the stage, to its digest."""
    photos = shop / "data/raw_images/photos.lance"
    ids = sorted(Table(photos).read(["photo_id"])["photo_id"].to_pylist())[:100]
    rng = np.random.default_rng(2)
    wanted = pd.DataFrame({"photo_id": np.sort(rng.choice(ids, 300))})
    boxes = rng.integers(-8, 40, (300, 4)).astype(float)
    boxes[::3] = np.nan
    wanted[BOX] = boxes
    here = [cut for _, cuts in cut_all(photos, wanted, 24, 80) for cut in cuts]
    there = list(cut_on(connected, photos, wanted, 24, 80))
    assert pd.concat([rows for rows, _ in there]).equals(wanted)
    assert [cut for _, cuts in there for cut in cuts] == here
    assert {cut.lost is None for cut in here} == {True, False}

    folder = Path(shutil.copytree(shop, tmp_path / "shop"))
    shutil.rmtree(folder / "data/crops")
    with within(folder):
        tables = runner.read_params()
        report = runner.run("crops", tables=tables | {"crops": tables["crops"] | {"engine": "ray"}})
    assert {**report, "wall_s": 0} == {**workspace.report(shop, "crops"), "wall_s": 0}
    assert (report["crops"], report["added"]) == (675, 675)


def by_loops(queries: Tensor, gallery: Tensor, k: int, group: list[int], exclude: list[int], valid: list[bool]) -> list:
    """Return the rows and distances of each query, sorted by hand: of a group the first."""
    found = []
    for query, out in zip(queries.tolist(), exclude, strict=True):
        order = []
        for at, row in enumerate(gallery.tolist()):
            if valid[at] and group[at] != out:
                order.append((sum((a - b) ** 2 for a, b in zip(query, row, strict=True)), at))
        firsts: dict[int, tuple[float, int]] = {}
        for distance, at in sorted(order):
            firsts.setdefault(group[at], (distance, at))
        found.append([*firsts.values()][:k])
    return found


@pytest.mark.parametrize(("count", "k"), [(0, 3), (1, 3), (2, 5), (40, 4), (40, 30), (40, 90)])
def test_three_shards_answer_as_loops_over_all_rows(count: int, k: int, shards: Shards) -> None:
    """Vectors of whole numbers, of which many are alike: k beyond a shard and beyond all, shards without a row."""
    drawn = torch.Generator().manual_seed(count + k)
    gallery, queries = (torch.randint(0, 3, (n, 3), generator=drawn).float() for n in (count, 7))
    group = torch.randint(0, 9, (count,), generator=drawn)
    exclude = torch.randint(-1, 9, (7,), generator=drawn)
    valid = torch.rand(count, generator=drawn) < 0.8
    answer = shards.gallery(gallery).nearest(queries, k, group=group, exclude=exclude, valid=valid)
    wanted = by_loops(queries, gallery, k, group.tolist(), exclude.tolist(), valid.tolist())
    assert answer.row.shape == (7, min(k, count))
    for row, score, one in zip(answer.row.tolist(), answer.score.tolist(), wanted, strict=True):
        assert [(d, at) for d, at in zip(score, row, strict=True) if at >= 0] == one


def test_three_shards_are_one_process_to_the_bit_and_a_lost_node_changes_nothing(three: Nodes, shards: Shards) -> None:
    drawn = torch.Generator().manual_seed(5)
    gallery, queries = torch.randn(3000, 24, generator=drawn), torch.randn(50, 24, generator=drawn)
    gallery[1500:2500] = gallery[:1000]  # ties across shards
    group = torch.randint(0, 800, (3000,), generator=drawn)
    exclude = torch.randint(-1, 800, (50,), generator=drawn)
    rows = torch.randint(-1, 3000, (50,), generator=drawn)
    valid = torch.rand(3000, generator=drawn) < 0.5
    within = torch.randint(0, 3001, (50, 2), generator=drawn).sort(dim=1).values
    filters = [
        {}, {"exclude": rows}, {"group": group, "exclude": exclude}, {"valid": valid}, {"valid": pack_bits(valid)},
        {"within": within}, {"group": group, "valid": valid, "within": within, "exclude": exclude},
    ]  # fmt: skip

    def compare(vectors: Tensor, asked: Tensor, metric: str, k: int, **chosen: Tensor) -> None:
        found = shards.gallery(vectors, metric).nearest(asked, k, **chosen)
        whole = nearest(asked, vectors, k, metric=metric, **chosen)
        assert torch.equal(found.row, whole.row)
        assert torch.equal(found.score, whole.score)

    for chosen, k in itertools.product(filters, (1, 10, 1200)):
        compare(gallery, queries, "sq_euclidean", k, **chosen)
    for metric in ("inner_product", "cosine"):
        compare(gallery, queries, metric, 10)
    compare(gallery.half(), queries.half(), "sq_euclidean", 10)
    compare((gallery * 20).to(torch.int8), (queries * 20).to(torch.int8), "sq_euclidean", 10)

    held = shards.gallery(gallery)
    whole = nearest(queries, gallery, 10)
    assert torch.equal(held.nearest(queries, 10).row, whole.row)
    living = [node for node in three.nodes if node.poll() is None]
    nodes.kill(living[-1])
    for _ in range(3):
        again = held.nearest(queries, 10)
        assert torch.equal(again.row, whole.row)
        assert torch.equal(again.score, whole.score)


def test_what_a_shard_cannot_hold_is_said_in_a_line(shards: Shards) -> None:
    vectors = torch.zeros(6, 2)
    with pytest.raises(ValueError, match=r"queries have D = 3 and gallery has D = 2"):
        shards.gallery(vectors).nearest(torch.zeros(1, 3), 1)
    with pytest.raises(ValueError, match="parts of a gallery: 1 of D"):
        shards.gallery_of([vectors])
    vectors[4] = torch.nan
    with pytest.raises(ValueError, match=r"^shard from row 4: gallery row 0 holds nan"):
        shards.gallery(vectors).nearest(torch.zeros(1, 2), 1)
    with pytest.raises(ValueError, match="count of shards"):
        Shards(0)
