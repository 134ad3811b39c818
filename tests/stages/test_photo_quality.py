"""The stage photo_quality: what it finds in a small shop, how it follows changes, and what decisions do."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import safetensors.torch
from PIL import Image

from tests import refreshing
from tests.apart import Work
from tests.quality.shop import FAULTY, FEW, GOOD, SPLITS, found, put, run
from tests.workspace import report
from visnet.quality import cases, decisions, files, listing, shown_crops
from visnet.quality.faults import FAULTS, REASONS
from visnet.quality.zoom_filter import ZoomFilter
from visnet.storage.table import Table

NEWS = ("photos_new", "added", "changed", "removed")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shop = refreshing.make(tmp_path_factory.mktemp("quality") / "shop", {})
    put(shop, {**GOOD, **FAULTY})
    run(shop)
    return shop


@pytest.fixture
def shop(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "shop"))


def test_faulty_photos_of_the_shop_are_marked_with_the_reason_and_none_is_lost(built: Path) -> None:
    rows, said = found(built), report(built, "photo_quality")
    assert rows.keys() == {**GOOD, **FAULTY}.keys()
    for product, fault in FAULTY.items():
        assert rows[product]["verdict"] != "good"
        assert rows[product]["reason"] in (REASONS[fault], REASONS["several"], REASONS["text_only"])
        assert float(str(rows[product][fault])) > 0.5
    assert sum(rows[product]["verdict"] == "bad" for product in GOOD) < len(GOOD) / 4
    for row in rows.values():
        assert (row["fault"] == "") == (row["reason"] == "") == (row["verdict"] == "good")
    counts = [said["bad"], said["unsure"], said["good"]]
    assert (sum(counts), said["photos"]) == (len(rows), len(rows))
    assert said["undecided"] == len(rows) - said["good"]


def test_it_is_measured_on_products_that_nothing_was_learnt_or_chosen_by(built: Path) -> None:
    said = report(built, "photo_quality")
    assert [said[f"{split}_photos"] for split in ("train", "validation", "test")] == [16, 6, 6]
    for fault in FAULTS:
        assert 0.5 < said[f"{fault}_accuracy"] <= 1
        assert 0.5 < said[f"{fault}_average_precision"] <= 1
    assert said["accuracy_min"] == min(said[f"{fault}_accuracy"] for fault in FAULTS)
    assert min(said["placeholder_accuracy"], said["several_accuracy"]) > 0.85
    with Image.open(built / "reports/photo_quality.png") as sheet:
        assert min(sheet.size) > 400
    bands = json.loads((built / "data/photo_quality" / files.BANDS).read_text())
    assert bands.keys() == FAULTS.keys()
    assert all(band["good_below"] <= band["bad_from"] for band in bands.values())


def test_after_changes_it_is_what_a_clean_build_gives_and_only_news_is_looked_at(shop: Path, tmp_path: Path) -> None:
    run(shop, "photo_quality")
    assert [report(shop, "photo_quality")[name] for name in NEWS] == [0, 0, 0, 0]
    digest = report(shop, "photo_quality")["digest"]
    stock = {product: what for product, what in {**GOOD, **FAULTY}.items() if product not in ("p900", "p001")}
    put(shop, {**stock, "p903": "blurred"})
    run(shop)
    ours = report(shop, "photo_quality")
    assert (ours["photos_new"], ours["removed"]) == (1, 2)
    clean = Path(shutil.copytree(shop, tmp_path / "clean"))
    shutil.rmtree(clean / "data/photo_quality")
    run(clean, "photo_quality")
    theirs = report(clean, "photo_quality")
    same = ours.keys() - {*NEWS, "wall_s"}
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    assert (theirs["photos_new"], ours["digest"] == digest) == (len(stock) + 1, False)


def test_what_a_person_decided_is_honoured_and_can_be_taken_back(shop: Path) -> None:
    before = found(shop)
    path, good = shop / "photo_quality.csv", next(name for name in GOOD if before[name]["verdict"] != "bad")
    decided = decisions.Decisions()
    for what, product in ((decisions.DISMISSED, "p900"), (decisions.CONFIRMED, good)):
        decided = decided.put(decisions.row(what, str(before[product]["key"])), True)
    decided = decided.put(decisions.row(decisions.CONFIRMED, "of a photo that is gone"), True)
    decisions.write(path, decided)
    run(shop, "photo_quality")
    rows, said = found(shop), report(shop, "photo_quality")
    assert [rows["p900"][name] for name in ("verdict", "reason", "decision")] == ["good", "", "dismissed"]
    assert (rows[good]["verdict"], rows[good]["decision"]) == ("bad", "confirmed")
    assert rows[good]["reason"] in REASONS.values(), "the fault that it is most likely to have"
    assert (said["confirmed"], said["dismissed"], said["decisions_unknown"]) == (1, 1, 1)
    path.unlink()
    run(shop, "photo_quality")
    assert found(shop) == before


def test_a_photo_that_a_person_calls_bad_is_no_longer_learnt_from_as_a_good_one(shop: Path) -> None:
    planted = Table(shop / "data/photo_quality" / files.PLANTED, "key")
    learnt = sorted({cases.crop_of(key) for key in planted.read(["key"])["key"].to_pylist()})
    bad, fine = learnt[0], learnt[1]
    keys = {row["crop_id"]: str(row["key"]) for row in found(shop).values()}
    decided = decisions.Decisions()
    for what, crop in ((decisions.CONFIRMED, bad), (decisions.DISMISSED, fine)):
        decided = decided.put(decisions.row(what, keys[crop]), True)
    decisions.write(shop / "photo_quality.csv", decided)
    run(shop, "photo_quality")
    now = {cases.crop_of(key) for key in planted.read(["key"])["key"].to_pylist()}
    assert (bad in now, fine in now) == (False, True)
    assert len(found(shop)) == len(keys), "it is listed like all others"


def test_bad_photos_are_left_out_where_that_is_asked_for_and_a_decision_brings_them_back(shop: Path) -> None:
    put(shop, {**GOOD, **FAULTY}, second={"p003": "placeholder"})
    run(shop)
    assert [report(shop, "photo_quality")[name] for name in ("left_out", "kept_as_last")] == [0, 0]
    rows = Table(shop / "data/photo_quality" / files.TABLE).opened().to_table().to_pylist()
    (second,) = (row for row in rows if row["photo_id"] == "p003-placeholder.png")
    (last,) = (row for row in rows if row["product_id"] == "p901")
    crops, folder = shop / "data/crops/crops.lance", shop / "data/photo_quality"

    def left(what: str, **params: object) -> tuple[set[str], int]:
        decided = decisions.Decisions().put(decisions.row(what, second["key"]), True)
        decided = decided.put(decisions.row(decisions.CONFIRMED, last["key"]), True)
        decisions.write(shop / "photo_quality.csv", decided)
        run(shop, "photo_quality", bad_precision=1.0, **params)
        said = report(shop, "photo_quality")
        found = shown_crops.left_out(crops, folder)
        assert (said["left_out"], said["photos_new"]) == (len(found), 0)
        return set(found) & {second["crop_id"], last["crop_id"]}, said["kept_as_last"]

    out, kept = left(decisions.CONFIRMED, leave_out_bad=True)
    assert (out, kept >= 1) == ({second["crop_id"]}, True)
    digest = report(shop, "photo_quality")["digest"]
    assert left(decisions.DISMISSED, leave_out_bad=True)[0] == set()
    assert left(decisions.CONFIRMED)[0] == set(), "not asked for"
    assert left(decisions.CONFIRMED, leave_out_bad=True) == (out, kept)
    assert report(shop, "photo_quality")["digest"] == digest


def test_the_zoom_filter_is_trained_once_for_the_same_photos(shop: Path) -> None:
    weights, side = shop / "data/photo_quality" / files.ZOOM, {"zoom_epochs": 1}
    run(shop, "photo_quality", **side)
    said = report(shop, "photo_quality")
    assert said["zoom_parameters"] == 1_212_513
    assert 0 <= said["zoom_accuracy"] <= 1
    ZoomFilter().load_state_dict(safetensors.torch.load_file(weights))
    stamp = weights.stat().st_mtime_ns
    run(shop, "photo_quality", **side)
    assert (weights.stat().st_mtime_ns, report(shop, "photo_quality")["zoom_accuracy"]) == (
        stamp,
        said["zoom_accuracy"],
    )
    run(shop, "photo_quality")
    assert (weights.exists(), report(shop, "photo_quality")["zoom_accuracy"]) == (False, None)


def test_switched_off_nothing_is_left(shop: Path) -> None:
    run(shop, "photo_quality", enabled=False)
    assert report(shop, "photo_quality")["enabled"] is False
    assert [path for path in (shop / "data/photo_quality").iterdir() if path.name != "checksums.json"] == []


def test_too_few_photos_are_refused_in_a_line(shop: Path) -> None:
    put(shop, {name: "" for name, split in zip(GOOD, SPLITS, strict=True) if split == "test" or name < "p016"})
    with pytest.raises(ValueError, match=r"\[photo_quality\] enabled: the split 'validation' has 0 shop photos of"):
        run(shop)


def test_a_run_that_is_killed_goes_on_where_it_was(shop: Path, built: Path) -> None:
    for name in ("features.lance", "photo_quality.lance"):
        shutil.rmtree(shop / "data/photo_quality" / name)
    tables = "".join(f"{name} = {value}\n" for name, value in FEW.items())
    (shop / "photo_quality.toml").write_text(f"[photo_quality]\nenabled = true\n{tables}")
    killed = Work(shop, "run photo_quality", fault=kill_at_verdicts).end()
    assert killed.returncode == -signal.SIGKILL
    assert not (shop / "data/photo_quality/photo_quality.lance").exists()
    done = Work(shop, "run photo_quality").end()
    assert done.returncode == 0, done.stderr
    said = report(shop, "photo_quality")
    assert (said["photos_new"], said["digest"]) == (0, report(built, "photo_quality")["digest"])


def kill_at_verdicts() -> None:
    """Have the process killed once all photos were looked at, and before any verdict stands."""

    def kill(*_: object) -> tuple[int, int, int]:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    listing.put = kill
