"""A disk that loses bytes: nothing is built on them, `verify` names them, and its cure brings them back."""

import contextlib
import json
import shutil
from pathlib import Path

import pytest

from tests import forked, refreshing, workspace
from visnet.storage import integrity
from visnet.storage.table import Table


def zero(path: Path, size: int = 50_000) -> None:
    """Overwrite the middle of a file, whose length stays."""
    with path.open("r+b") as file:
        length = path.stat().st_size
        file.seek(max(0, (length - size) // 2))
        file.write(bytes(min(size, length)))


def largest(folder: Path) -> Path:
    return max((path for path in folder.rglob("*.lance") if path.is_file()), key=lambda path: path.stat().st_size)


def test_what_was_not_written_by_us_is_found_wherever_it_lies(tmp_path: Path) -> None:
    folder = tmp_path / "crops"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_bytes(bytes(range(256)) * 5000)  # two blocks
    (folder / "sub" / "b").write_bytes(b"")
    integrity.record(folder)
    assert integrity.damaged(folder) == []
    before = (folder / integrity.CHECKSUMS).stat().st_mtime_ns
    integrity.record(folder)
    assert (folder / integrity.CHECKSUMS).stat().st_mtime_ns == before, "nothing new, nothing written"
    for at in (0, (1 << 20) - 1, 1 << 20, 1_279_999):
        data = bytearray((folder / "a").read_bytes())
        data[at] ^= 1
        (folder / "a").write_bytes(data)
        assert integrity.damaged(folder) == [folder / "a"]
        data[at] ^= 1
        (folder / "a").write_bytes(data)
    assert integrity.damaged(folder) == []
    (folder / "sub" / "b").write_bytes(b"x")
    (folder / "a").unlink()
    assert integrity.damaged(folder) == [folder / "a", folder / "sub" / "b"]


def test_of_a_large_artefact_a_sample_is_read_and_every_size_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity, "WHOLE_BYTES", 4 << 20)
    for number in range(8):
        (tmp_path / f"{number}").write_bytes(bytes([number]) * (1 << 20))
    integrity.record(tmp_path)
    (tmp_path / "3").write_bytes(bytes([9]) * (1 << 20))
    found = [integrity.damaged(tmp_path, limit_bytes=2 << 20, seed=seed) for seed in range(40)]
    assert 0 < sum(map(bool, found)) < 40  # one block of eight, two of them read
    (tmp_path / "3").write_bytes(bytes([3]) * 7)
    assert integrity.damaged(tmp_path, limit_bytes=2 << 20, seed=0) == [tmp_path / "3"]


def test_a_commit_that_was_taken_back_is_no_damage(tmp_path: Path) -> None:
    import pyarrow as pa

    table = tmp_path / "crops.lance"
    row = {"crop_id": ["a"], "source": ["1"], "content": ["1"]}
    Table(table, "crop_id").put(pa.table(row))
    Table(table, "crop_id").put(pa.table({**row, "crop_id": ["b"]}))
    integrity.record(tmp_path)
    newest = min((table / "_versions").glob("*.manifest"))  # so named that the newest comes first
    newest.unlink()
    (table / "_versions" / "latest_version_hint.json").unlink(missing_ok=True)
    one = {file.path for fragment in Table(table).opened().get_fragments() for file in fragment.metadata.files}
    for path in (table / "data").iterdir():
        if path.name not in one:
            path.unlink()
    assert integrity.damaged(tmp_path) == []
    (table / "data" / next(iter(one))).unlink()
    assert len(integrity.damaged(tmp_path)) == 1


def test_a_manifest_that_says_nothing_is_damage(shop: Path) -> None:
    versions = shop / "data/crops/crops.lance/_versions"
    newest = min(versions.glob("*.manifest"))
    newest.write_bytes(bytes(newest.stat().st_size))
    assert integrity.damaged(shop / "data/crops") == [shop / "data/crops/crops.lance"]


@pytest.mark.parametrize("stage", ["crops", "catalog_embeddings", "publish"])
def test_no_stage_builds_on_a_damaged_table(stage: str, shop: Path) -> None:
    zero(largest(shop / "data/crops"))
    done = workspace.visnet(shop, "run", stage)
    assert done.returncode == 2, done.stderr
    (said,) = done.stderr.strip().splitlines()
    assert "is damaged: it is not as it was written; run `dvc checkout --force data/crops`" in said


def test_verify_names_what_is_damaged_and_its_cure_cures(shop: Path) -> None:
    for name in ("dvc.yaml", ".dvcignore", "exclusions.csv", "duplicates.csv"):
        shutil.copy(workspace.ROOT / name, shop)
    for name in ("visnet", "kernels"):
        shutil.copytree(workspace.ROOT / name, shop / name, ignore=shutil.ignore_patterns("__pycache__"))
    forked.dvc(shop, "init", "--no-scm", "-q")
    said = workspace.visnet(shop, "verify").stdout
    assert "crops                OK" in said
    assert "version 1            OK" in said
    forked.dvc(shop, "commit", "-f", "raw_images", "crops", "-q")
    locked = (shop / "dvc.lock").read_bytes()
    before = refreshing.state(shop)

    zero(largest(shop / "data/crops"))
    done = workspace.visnet(shop, "verify")
    assert done.returncode == 2
    assert "crops.lance" in done.stderr
    assert "run `dvc checkout --force data/crops`" in done.stderr
    params = shop / "params.toml"
    params.write_text(params.read_text().replace("side_px = 32", "side_px = 32\nquality = 91"))
    failed = forked.tried(shop, "repro", "--single-item", "crops")
    assert failed.returncode != 0
    assert (shop / "dvc.lock").read_bytes() == locked, "a damaged table is not the new truth"

    params.write_text(params.read_text().replace("\nquality = 91", ""))
    forked.dvc(shop, "checkout", "--force", "data/crops")
    assert refreshing.state(shop) == before
    assert workspace.visnet(shop, "verify").returncode == 0


def test_a_record_that_is_damaged_itself_says_so(shop: Path) -> None:
    (shop / "data/crops" / integrity.CHECKSUMS).write_text("{")
    assert "data/crops/checksums.json is damaged; run `dvc checkout" in workspace.visnet(shop, "run", "crops").stderr


def test_checksums_are_json_that_names_every_file(published: Path) -> None:
    for stage in ("raw_images", "crops", "catalog_embeddings", "knn_results"):
        named = json.loads((published / "data" / stage / integrity.CHECKSUMS).read_text())
        assert largest(published / "data" / stage).relative_to(published / "data" / stage).as_posix() in named


def test_while_a_stage_works_in_its_folder_only_tables_have_checksums(tmp_path: Path) -> None:
    """What was killed before it could note them left a new file beside old checksums, and was called damaged."""
    out = tmp_path / "raw_images"
    out.mkdir()
    (out / "counts.csv").write_text("one")
    integrity.record(out)
    known = integrity.read(out)
    with contextlib.suppress(KeyboardInterrupt), integrity.released(out):
        (out / "counts.csv").write_text("another")
        raise KeyboardInterrupt
    integrity.check(out)
    integrity.record(out)
    (out / "counts.csv").write_text("a disk's")
    with pytest.raises(ValueError, match=r"counts\.csv is damaged"):
        integrity.check(out)

    (out / "counts.csv").write_text("one")
    integrity.record(out)
    with pytest.raises(ValueError, match="refused"), integrity.released(out):
        raise ValueError("refused")
    assert integrity.read(out) == known

    def refused_at_its_end() -> None:
        with integrity.released(out):
            (out / "counts.csv").write_text("a refused run's")
            raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        refused_at_its_end()
    integrity.check(out)
    assert integrity.read(out).keys() == {"counts.csv"}
