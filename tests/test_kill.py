"""Kill -9 at every kind of point at which a stage changes what is on disk; run again, it ends as if undisturbed.

The points are those that the stage passes when nothing disturbs it (see `tests.kill_points`). Kills are laid one after
the other on the same shop, each in the run that goes on after the one before.
"""

import csv
import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests import kill_points, learning, refreshing
from tests.apart import Done, Work
from tests.kill_points import Point
from tests.workspace import report
from visnet.embedding.vectors import read_vectors
from visnet.pipeline.stage import STAGES
from visnet.serving import catalog
from visnet.storage.table import Table

FEW = 8  # rows of a commit, so that there are several
ANOTHER_STOCK = ("raw_images", "crops", "triplets", "catalog_embeddings", "knn_results", "duplicates", "publish")
ANOTHER_MODEL = ("trained_model", "catalog_embeddings", "evaluation")
NOTHING = ("raw_images", "crops", "localizer", "triplets", "catalog_embeddings", "knn_results")
QUICK = ANOTHER_STOCK  # the others train, or measure everything again, each time
OPERATIONS = {
    "create",
    "append",
    "merge",
    "delete",
    "rename",
    "exchange",
    "link",
    "symlink",
    "remove",
    "rmtree",
    "fsync",
}
STARTS = {"another stock": ANOTHER_STOCK, "another model": ANOTHER_MODEL, "nothing": NOTHING}


@dataclass(frozen=True)
class Start:
    """A shop right before a stage, what the stage passes, and what it leaves, when nothing disturbs it."""

    shop: Path
    points: list[Point]
    ended: Path


@pytest.fixture(scope="module")
def starts(learnable: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Start]:
    """A shop that was published, has another stock, another model, and then lacks what a stage has made.

    Kinds of points that a stage has passed from one start are not among those of the next. A stage that is not quick
    has none that a quick one has, too, under its own name: what the runner does is the same for all.
    """
    folder = tmp_path_factory.mktemp("starts")
    line = learning.copy(learnable, folder / "line")
    learning.setting(line, "[raw_images]", f"[raw_images]\ncommit_every = {FEW}")
    learning.setting(line, "batch = 8", f"batch = 4\ncommit_every = {FEW}")
    learning.setting(line, "[publish]", "[publish]\nkeep = 1\nremoved_share_max = 0.5")
    # Of the networks that the model is held beside, one writes what all would, and those of others take the most time.
    learning.setting(line, "[evaluation]", '[evaluation]\nbaselines = ["untrained"]')
    (line / "duplicates.toml").write_text("[duplicates]\nenabled = true\nnearest = 1\n")
    done = run(line, *STAGES)
    assert done.returncode == 0, done.stderr
    found: dict[tuple[str, str], Start] = {}

    def undisturbed(start: str, stage: str, before: Path, at: Path) -> None:
        noted = folder / f"{start} {stage}"
        done = run(at, stage, fault=partial(kill_points.note, noted))
        assert done.returncode == 0, done.stderr
        alike = {of_any(other, point) for (_, other), was in found.items() if other in QUICK for point in was.points}
        own = {point.kind for (_, other), was in found.items() if other == stage for point in was.points}
        points = [
            point
            for point in kill_points.chosen(noted)
            if point.kind not in own and (stage in QUICK or of_any(stage, point) not in alike)
        ]
        found[start, stage] = Start(before, points, learning.copy(at, folder / f"{start}, after {stage}"))

    for start, change in (("another stock", change_stock), ("another model", change_model)):
        change(line)
        for stage in STARTS[start]:
            undisturbed(start, stage, learning.copy(line, folder / f"{start}, before {stage}"), line)
    for stage in NOTHING:
        before = learning.copy(line, folder / f"without {stage}")
        shutil.rmtree(before / "data" / stage)
        (before / "reports" / f"{stage}.json").unlink()
        undisturbed("nothing", stage, before, learning.copy(before, folder / f"anew {stage}"))
    return found


def change_stock(shop: Path) -> None:
    """Take photos away, bring new ones, and say something else of others."""
    header, *rows = list(csv.reader((shop / "stock.csv").read_text().splitlines()))
    old, said, stay = rows[:10], rows[10:30], rows[30:]
    new = [[category, colour, f"{product}-new", *rest] for category, colour, product, *rest in old[:9]]
    changed = [[category, "blue", *rest] for category, _, *rest in said]
    with (shop / "stock.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *new, *changed, *stay])


def change_model(shop: Path) -> None:
    """Have another network be trained."""
    learning.setting(shop, "epochs = 2", "epochs = 2\nseed = 5")


def of_any(stage: str, point: Point) -> str:
    """Return the kind of a point without the name of the stage whose it is."""
    return point.kind.replace(stage, "STAGE")


def run(shop: Path, *stages: str, fault: Callable[[], None] | None = None) -> Done:
    """Run stages in a process of their own."""
    return Work(shop, *(f"run {stage}" for stage in stages), fault=fault).end()


def test_every_stage_and_operation_has_points(starts: dict[tuple[str, str], Start]) -> None:
    # Which write as localizer, triplets and duplicates do.
    others = {"proposed_boxes", "photo_quality", "taxonomy_model", "category_paths"}
    assert {stage for _, stage in starts} == {*STAGES} - others
    kinds = {point.kind for begun in starts.values() for point in begun.points}
    assert {kind.partition(" ")[0] for kind in kinds} == OPERATIONS


@pytest.mark.parametrize(("start", "stage"), [(start, stage) for start, stages in STARTS.items() for stage in stages])
def test_a_stage_that_is_killed_anywhere_ends_as_if_it_had_not_been(
    start: str, stage: str, starts: dict[tuple[str, str], Start], tmp_path: Path
) -> None:
    begun = starts[start, stage]
    assert begun.points, "nothing is tested"
    shop = learning.copy(begun.shop, tmp_path / "shop")
    for point in begun.points:
        if not killed(shop, stage, point):  # what the kills before have left to do has no such point
            check_ended(shop, stage, begun)
            shutil.rmtree(shop)
            learning.copy(begun.shop, shop)
            assert killed(shop, stage, point), f"{point} was not reached"
        check_between(shop, stage, start)
    done = run(shop, stage)
    assert done.returncode == 0, done.stderr
    check_ended(shop, stage, begun)


def killed(shop: Path, stage: str, point: Point) -> bool:
    """Run the stage up to a point, and tell whether it came there; else it ends well."""
    done = run(shop, stage, fault=partial(kill_points.kill, point))
    assert done.returncode in (0, -signal.SIGKILL), f"killed before, on the way to {point}: {done.stderr}"
    return done.returncode != 0


def check_between(shop: Path, stage: str, start: str) -> None:
    """Hold what others read against what they may count on: after a kill, what is there is whole."""
    for path in (shop / "reports").glob("*.json"):
        assert isinstance(json.loads(path.read_text()), dict)
    if start != "nothing":
        assert (shop / "data" / stage).is_dir()
    if stage == "catalog_embeddings" and Table(shop / "data/catalog_embeddings/embeddings.lance").exists():
        read_vectors(shop / "data/catalog_embeddings")  # of one model
    if stage == "publish" and (start != "nothing" or (shop / "data/publish/current").exists()):
        with catalog.open_current(shop / "data") as version:
            assert refreshing.torn(version) == []


def check_ended(shop: Path, stage: str, begun: Start) -> None:
    """Compare the shop with one where the stage was not disturbed."""
    assert report(shop, stage)["digest"] == report(begun.ended, stage)["digest"]
    assert report(shop, stage).keys() == report(begun.ended, stage).keys()
    assert files(shop / "reports") == files(begun.ended / "reports")
    assert files(shop / "data") == files(begun.ended / "data")


def files(folder: Path) -> set[str]:
    """List the files and folders below a folder, a table as one of them, without the numbers of versions."""
    paths = [path.relative_to(folder) for path in folder.rglob("*")]
    inner = [path for path in paths if not any(parent.suffix == ".lance" for parent in path.parents)]
    return {kill_points.NUMBERS.sub("#", str(path)) for path in inner}
