"""Rows made on a Ray cluster come back in order, equal to one process's, and so do errors."""

import copy
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from tests import workspace
from tests.apart import within
from tests.engines import work
from visnet.embedding import spread
from visnet.embedding.crop_dataset import CropImages
from visnet.embedding.embed import embed
from visnet.engines import blocks, cluster
from visnet.engines.blocks import BlockStep, divided, mapped
from visnet.errors import NotFound
from visnet.models import folding
from visnet.photos.cutting import BOX, cut_all
from visnet.photos.spread_cutting import cut_on
from visnet.runs import runner
from visnet.storage.table import Table
from visnet.zoo import weights

pytestmark = pytest.mark.usefixtures("one_thread")


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


class Embedded(NamedTuple):
    """Crops of a shop, what embeds them on a cluster, and the vectors that one process makes of them."""

    images: CropImages
    rows: pa.Table
    embedding: spread.Embedding
    wanted: torch.Tensor


def embedded(shop: Path, count: int) -> Embedded:
    path, trained = shop / "data/crops/crops.lance", shop / "data/trained_model"
    model, entry = weights.load(trained)
    ids = sorted(Table(path).read(["crop_id"])["crop_id"].to_pylist())[:count]
    images = CropImages(path, ids, entry.side_px, keep=False)
    wanted = torch.cat([vectors for _, vectors in embed(model, images, batch=8, precision="fp32")])
    rows = pa.table({"crop_id": ids, "position": images.positions})
    return Embedded(images, rows, spread.Embedding(trained, weights.digest(model.state_dict()), 8, "fp32", 1), wanted)


def vectors_of(made: Iterable[pa.Table]) -> torch.Tensor:
    return torch.tensor([one for part in made for one in part["vector"].to_pylist()])


def test_crops_decoded_in_one_process_and_embedded_in_another(shop: Path, connected: cluster.Cluster) -> None:
    """The steps of a cluster with GPUs, on CPUs."""
    crops = embedded(shop, 50)
    apart = [BlockStep(spread.Decoding(crops.images)), BlockStep(crops.embedding, processes=1, rows=8)]
    assert torch.equal(vectors_of(mapped(divided(crops.rows, 16), apart)), crops.wanted)


def test_a_process_makes_its_network_ready_once_and_embeds_as_one_that_is_alone(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crops = embedded(shop, 21)
    followed, once = folding._followed, []
    monkeypatch.setattr(folding, "_followed", lambda *words: once.append(words) or followed(*words))
    work = spread.Both(spread.Decoding(copy.copy(crops.images)), crops.embedding)()
    made = [work(block) for block in divided(crops.rows, 8)]
    assert [block.num_rows for block in made] == [8, 8, 5]
    assert torch.equal(vectors_of(made), crops.wanted)
    assert len(once) == 1


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
