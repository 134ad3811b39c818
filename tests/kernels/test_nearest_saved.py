"""A gallery in a folder: whoever maps it answers as if it had been made there, in any process, or refuses it."""

import json
import multiprocessing
from pathlib import Path

import pytest
import torch

from kernels.nearest import METRICS, Gallery, nearest, saved
from tests.kernels.native import COMPILER, RUNNING, forced

COMPUTES = ("float32", "bfloat16", "int8")
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mapped(gallery: Gallery, folder: Path) -> Gallery:
    folder.mkdir()
    gallery.save(folder)
    return Gallery.open(folder)


@pytest.mark.parametrize("way", [*RUNNING, "none"] if COMPILER else ["none"])
@pytest.mark.parametrize("compute", COMPUTES)
@pytest.mark.parametrize("metric", METRICS)
def test_a_mapped_one_answers_to_the_bit_as_the_vectors_do(metric: str, compute: str, way: str, tmp_path: Path) -> None:
    with forced(way):
        for number, dtype in enumerate(DTYPES):
            vectors, queries = normal(301, 37).to(dtype), normal(9, 37, seed=1).to(dtype)
            made = Gallery(vectors, metric=metric, compute=compute)
            found = nearest(queries, mapped(made, tmp_path / str(number)), 12)
            expected = nearest(queries, vectors, 12, metric=metric, backend="reference")
            assert (found.row.tolist(), found.score.tolist()) == (expected.row.tolist(), expected.score.tolist())
            assert found.proven.all()


@pytest.mark.parametrize("vectors", [torch.zeros(0, 4), torch.full((3, 4), 2.0**61)], ids=["no row", "no bound"])
def test_what_has_no_codes_is_mapped_too(vectors: torch.Tensor, tmp_path: Path) -> None:
    opened = mapped(Gallery(vectors), tmp_path / "gallery")
    found, expected = (nearest(normal(2, 4), gallery, 2) for gallery in (opened, vectors))
    assert (found.row.tolist(), found.score.tolist()) == (expected.row.tolist(), expected.score.tolist())


def test_a_view_is_saved_as_it_is_seen(tmp_path: Path) -> None:
    whole = normal(40, 10)
    opened = mapped(Gallery(whole[::2, 1::3]), tmp_path / "gallery")
    assert torch.equal(opened.vectors, whole[::2, 1::3])


def _answer(folder: Path, queries: torch.Tensor, answers: "multiprocessing.Queue[list[list[int]]]") -> None:
    answers.put(nearest(queries, Gallery.open(folder), 5).row.tolist())


def test_another_process_maps_the_same_file_and_the_folder_may_go(tmp_path: Path) -> None:
    vectors, queries = normal(5000, 64), normal(3, 64, seed=1)
    opened = mapped(Gallery(vectors), tmp_path / "gallery")
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    other = context.Process(target=_answer, args=(tmp_path / "gallery", queries, answers))
    other.start()
    expected = nearest(queries, vectors, 5).row.tolist()
    assert answers.get(timeout=60) == expected
    other.join()
    for name in ("vectors", "codes"):
        (place,) = (line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(f"{name}.npy"))
        assert " rw-p " in place, "private: what would be written stays in this process"
    for path in (tmp_path / "gallery").iterdir():
        path.unlink()
    assert nearest(queries, opened, 5).row.tolist() == expected


def test_one_that_other_sources_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mapped(Gallery(normal(30, 8)), tmp_path / "gallery")
    monkeypatch.setattr(saved, "made_by", lambda: "0" * 32)
    with pytest.raises(ValueError, match=r"gallery: made by other sources; make it again$"):
        Gallery.open(tmp_path / "gallery")


def test_sources_that_say_what_codes_mean_are_all_named() -> None:
    """Whatever the encoding imports of this package is of it, but for what checks and what an answer is."""
    folder, named = Path(saved.__file__).parent, set(saved.SOURCES)
    for name in ("codes.py", "encode.py"):
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        own = {line.split()[1].rsplit(".", 1)[1] for line in lines if line.startswith("from kernels.nearest.")}
        assert {f"{module}.py" for module in own} <= named


@pytest.mark.parametrize("name", ["vectors", "codes", "terms", "centre", "sq_norms"])
@pytest.mark.parametrize("fault", ["gone", "short", "another's", "empty"])
def test_one_that_is_damaged_is_refused_in_a_line(fault: str, name: str, tmp_path: Path) -> None:
    folder, other = tmp_path / "gallery", tmp_path / "other"
    mapped(Gallery(normal(300, 70), compute="int8"), folder)
    mapped(Gallery(normal(301, 71), compute="int8"), other)
    path = folder / f"{name}.npy"
    if fault == "gone":
        path.unlink()
    elif fault == "another's":
        path.write_bytes((other / path.name).read_bytes())
    else:
        path.write_bytes(b"" if fault == "empty" else path.read_bytes()[:-40])
    with pytest.raises((ValueError, OSError), match=r"gallery") as refused:
        Gallery.open(folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "change", [{"parts": None}, {"metric": None}, {"offset": "far"}, {"parts": {"vectors": "float32"}}]
)
def test_a_description_that_is_damaged_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    mapped(Gallery(normal(300, 8)), folder)
    described = json.loads((folder / saved.FILE).read_text()) | change
    (folder / saved.FILE).write_text(
        json.dumps({name: value for name, value in described.items() if value is not None})
    )
    if change == {"parts": {"vectors": "float32"}}:  # of which nothing says that there were codes
        assert len(Gallery.open(folder).vectors) == 300
        return
    with pytest.raises(ValueError, match=r"gallery: damaged .*; make it again$"):
        Gallery.open(folder)
