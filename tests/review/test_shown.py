"""Which triplets are shown, and their contact sheet."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.review.marking import TRIPLETS, crop
from visnet import review
from visnet.review.shown import CLAIMS, choose, evenly
from visnet.sampling import biss, importance, metadata, street2shop
from visnet.storage.table import Table

RED = (0xD7, 0x30, 0x27)


@given(st.dictionaries(st.text(max_size=2), st.integers(0, 30), max_size=5), st.integers(0, 60))
def test_kinds_share_the_count_evenly(there: dict[str, int], count: int) -> None:
    got = evenly(there, count)
    assert sum(got.values()) == min(count, sum(there.values()))
    most = max(got.values(), default=0)
    assert all(got[kind] == n or got[kind] >= most - 1 for kind, n in there.items())


def test_every_kind_says_what_it_claims() -> None:
    assert set(CLAIMS) == {*metadata.KINDS, *street2shop.KINDS, *biss.KINDS, *importance.KINDS}


def test_what_is_not_there_is_named_with_what_to_do(data: Path, tmp_path: Path) -> None:
    for folder, split, count, said in (
        (data, "dev", 5, "--split 'dev'; allowed are train, validation, test"),
        (data, "train", 0, "--count 0: at least 1"),
        (data, "validation", 5, "validation.parquet is missing: run `dvc repro triplets`"),
        (data, "test", 5, "test.parquet holds no triplet"),
        (tmp_path, "train", 5, "train.parquet is missing"),
    ):
        with pytest.raises(ValueError, match=said.replace("(", r"\(")):
            choose(folder, split, count)
    shutil.copytree(data, tmp_path / "data")
    Table(tmp_path / "data" / "crops" / "crops.lance", "crop_id").delete([crop("b", 1)])
    with pytest.raises(ValueError, match=r"^1 crops to be shown are not in .*: run `dvc repro`"):
        choose(tmp_path / "data", "train", 100)


def test_the_contact_sheet_shows_the_same_triplets_with_the_marks_framed(data: Path, path: Path) -> None:
    out = path.with_name("sheet.png")
    assert review.write(out, "train", 100, data=data, path=path) == f"8 of 9 train triplets: {out}"
    plain = Image.open(out).convert("RGB")
    assert RED not in {colour for _, colour in plain.getcolors(1 << 20)}
    path.write_text(f"what,a,b\nnegative,{TRIPLETS[6][2]},{TRIPLETS[6][0]}\n")
    review.write(out, "train", 100, data=data, path=path)
    framed = Image.open(out).convert("RGB")
    assert framed.size == plain.size
    red = [count for count, colour in framed.getcolors(1 << 20) if colour == RED]
    assert red == [4 * 3 * (96 - 3)]  # one frame, 3 px wide around a tile of 96
    with pytest.raises(ValueError, match=r"--write sheet.txt: no picture's name"):
        review.write(Path("sheet.txt"), data=data, path=path)
