"""The benchmark: the whole path at tiny sizes, what it refuses, what it says of a wrong peer, how it counts time."""

import json
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kernels.nearest import nearest
from kernels.nearest.bench import gpu_peers, suite, torch_peers
from kernels.nearest.bench.__main__ import green, main
from kernels.nearest.bench.agree import agreement
from kernels.nearest.bench.draw import draw
from kernels.nearest.bench.machine import pin, slug
from kernels.nearest.bench.peer import METRICS, AbsentError, Peer, Search, load
from kernels.nearest.bench.peers import peers_on
from kernels.nearest.bench.roofs import Roofs, measure_roofs, reached
from kernels.nearest.bench.sheet import lines
from kernels.nearest.bench.work import QUICK, TABLES, Work, group, shrink

GREEN = (sys.executable, "-c", "pass")
RED = (sys.executable, "-c", "raise SystemExit(1)")
ROOFS = Roofs(1e9, {"float32": 1e12, "bfloat16": 2e12})
TINY = (
    Work(5, 600, 24, 10),
    Work(5, 600, 24, 600),
    Work(1, 600, 24, 10, one_shot=True),
    Work(5, 600, 24, 7, metric="inner_product"),
    Work(5, 600, 24, 7, data="clustered", metric="cosine"),
    Work(5, 600, 24, 7, peers=()),
    Work(4, 600, 24, 3, peers=(), arrivals_per_s=(200,)),
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    pin(1)
    yield
    pin(before)


def run(folder: Path, **given: Any) -> tuple[int, list[dict[str, Any]]]:
    given = {"tests": [GREEN], "roofs": ROOFS, **given}
    code = main(["--device", "cpu", "--out", str(folder), "--pairs", "3", "--threads", "1", "--quick"], **given)
    files = list(folder.iterdir())
    assert len(files) <= 1
    return code, json.loads(files[0].read_text())["works"] if files else []


def by_hand(wrong: Callable[[Tensor], Any] = lambda rows: rows) -> Callable[[Tensor, str], Search]:
    return lambda gallery, metric: lambda queries, k: wrong(nearest(queries, gallery, k, metric=metric).row)


def test_the_whole_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    restless = tuple(replace(peer, rest_s=0.0) for peer in peers_on("cpu"))
    code, rows = run(tmp_path, works=TINY, peers=restless)
    assert (code, len(rows)) == (0, len(TINY))
    out, err = capsys.readouterr()
    for work, row in zip(TINY, rows, strict=True):
        expected = [peer.name for peer in peers_on("cpu") if work.metric in peer.metrics and work.peers is None]
        assert [peer["peer"] for peer in row["peers"]] == expected
        assert (row["status"], row["work"]["g"], row["asked_g"]) == ("measured", work.g, work.g)
        assert row["build_s"] > 0
        assert work.title in out
        assert work.title in err
        for peer in row["peers"]:
            assert peer["status"] in ("measured", "not installed"), peer
            if peer["status"] == "measured":
                assert (peer["agree"] == 1.0) if peer["exact"] else (0.5 < peer["agree"] <= 1.0), peer
                assert len(peer["ours_s"]) == len(peer["peer_s"]) in (2, 3)
                ratios = [theirs / ours for theirs, ours in zip(peer["peer_s"], peer["ours_s"], strict=True)]
                assert peer["ratio"] == statistics.median(ratios)
        if work.arrivals_per_s:
            (stream,) = row["served"]
            assert stream["queries"] == 200
            assert 0 < stream["p50_ms"] <= stream["p99_ms"] <= stream["worst_ms"]
        else:
            assert row["proven"] is not None
            assert row["reached"]["share"] > 0
    assert "agree 1.000" in out
    assert "queries/s" in out
    whole = json.loads(next(tmp_path.iterdir()).read_text())
    assert whole["complete"] is True
    assert whole["machine"]["threads"] == 1
    assert whole["machine"]["torch"] == torch.__version__
    assert {"date", "commit", "roofs"} <= set(whole)


def test_a_row_names_the_type_that_is_scanned_and_is_held_against_its_roof(tmp_path: Path) -> None:
    kinds = ("float32", "bfloat16")
    _, rows = run(tmp_path, works=[Work(3, 600, 24, 5, kind, compute=kind, peers=()) for kind in kinds])
    assert [row["scan"] for row in rows] == list(kinds)
    for row, width in zip(rows, (4, 2), strict=True):
        assert row["reached"]["bytes_per_s"] == pytest.approx(600 * 24 * width / statistics.median(row["alone_s"]))


def test_the_gpu_table_runs_here_at_tiny_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    works = [
        replace(
            work,
            q=min(work.q, 8),
            g=700,
            d=32,
            k=min(work.k, 100),
            compute="auto" if work.compute == "int8" else work.compute,  # no int8 scan on every processor
            arrivals_per_s=(100,) if work.arrivals_per_s else (),
        )
        for table in TABLES["cuda"].values()
        for work in table
    ]
    peers = tuple(peer for peer in peers_on("cuda") if "compiled" not in peer.name)  # compiling takes longer than this
    made = suite.Suite("cpu", peers, ROOFS, lambda _: None, pairs=2, budget_s=0.0, serve_s=0.1)
    for work, row in zip(works, made.run(works), strict=True):
        assert (row.status, row.work) == ("measured", work)
        assert bool(row.served) == bool(work.arrivals_per_s)
        told = "\n".join(lines(row))
        assert work.title in told
        assert work.target in told
        assert all(peer.peer in told for peer in row.peers)


def test_red_tests_print_no_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, works=TINY, tests=[GREEN, RED]) == (1, [])
    out, err = capsys.readouterr()
    assert out == ""
    assert "no figure is printed" in err
    assert green(GREEN)


def test_a_wrong_absent_or_broken_peer_is_shown_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(gallery: Tensor, metric: str) -> Search:
        raise RuntimeError("it broke\nand said much")

    def absent(gallery: Tensor, metric: str) -> Search:
        load("surely_nobody_installs_this")
        raise AssertionError

    peers = (
        Peer("right", METRICS, by_hand()),
        Peer("wrong", METRICS, by_hand(lambda rows: torch.where(rows == rows[:, :1], (rows + 1) % 600, rows))),
        Peer("short", METRICS, by_hand(lambda rows: rows[:, 1:])),
        Peer("broken", METRICS, broken),
        Peer("absent", METRICS, absent),
        Peer("narrow", METRICS, by_hand(), most_k=5, why_most_k="the most it takes"),
    )
    code, (row,) = run(tmp_path, works=TINY[:1], peers=peers)
    told = {peer["peer"]: peer for peer in row["peers"]}
    assert code == 0
    assert told["right"]["agree"] == 1.0
    assert told["wrong"]["agree"] == pytest.approx(0.9, abs=0.05)
    assert told["short"]["agree"] == 0.0
    assert told["broken"]["status"] == "failed: RuntimeError: it broke"
    assert told["absent"]["status"] == "not installed"
    assert told["narrow"]["status"] == "not run: k 5 is the most it takes"
    out = capsys.readouterr().out
    assert {line.split()[0] for line in out.splitlines() if "DISAGREES" in line} == {"wrong", "short"}


def test_a_failure_of_ours_is_red(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, rows = run(tmp_path, works=(Work(1, 50, 8, 3, compute="nonsense"), TINY[5]))
    assert code == 1
    assert rows[0]["status"].startswith("failed: ValueError: compute is 'nonsense'")
    assert rows[1]["status"] == "measured"


def test_an_interrupt_keeps_what_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(gallery: Tensor, metric: str) -> Search:
        raise KeyboardInterrupt

    peers = (Peer("right", METRICS, by_hand()), Peer("interrupted", ("inner_product",), interrupted))
    code, rows = run(tmp_path, works=TINY, peers=peers)
    assert code == 130
    assert [row["status"] for row in rows] == ["measured"] * 3 + ["interrupted"]
    assert [peer["peer"] for peer in rows[-1]["peers"]] == ["right"]
    assert json.loads(next(tmp_path.iterdir()).read_text())["complete"] is False
    assert "interrupted" in capsys.readouterr().err


def test_ties_agree_and_near_misses_do_not() -> None:
    gallery = torch.eye(6, dtype=torch.float32)
    queries = torch.zeros(1, 6)
    queries[0, 5] = 1.0
    assert agreement(torch.tensor([[5, 0]]), np.array([[5, 3]], dtype=np.uint64), queries, gallery, "cosine") == 1.0
    gallery[0] *= 0.99
    assert agreement(torch.tensor([[5, 0]]), [[5, 3]], queries, gallery, "sq_euclidean") == 0.5
    assert agreement(torch.tensor([[5, 0]]), [[5, -1]], queries, gallery, "sq_euclidean") == 0.5
    assert agreement(torch.tensor([[5, 0]]), [[5, 5]], queries, gallery, "sq_euclidean") == 0.5


def test_blocks_of_a_peer_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    gallery, queries = draw(700, 3, 16, "normal", torch.float32, generator)
    monkeypatch.setitem(torch_peers.SCORES_BYTES, "cpu", 3 * 8 * 100)
    for metric in METRICS:
        rows = torch_peers.mm_topk(gallery, metric)(queries, 9)
        assert agreement(nearest(queries, gallery, 9, metric=metric).row, rows, queries, gallery, metric) == 1.0


def test_a_gallery_shrinks_to_the_memory_that_is_free(tmp_path: Path) -> None:
    large = [Work(1, 50_000_000, 512, k, "bfloat16") for k in (10, 1000)]
    assert shrink(large, 10**12, 1536.0, 10**9) == large
    assert [work.g for work in shrink(large, 77 * 10**9, 1536.0, 7 * 10**9)] == [45_500_000] * 2
    with pytest.raises(ValueError, match="not one row fits"):
        shrink(large, 10**9, 1536.0, 10**9)
    heard: list[str] = []
    made = suite.Suite("cpu", (), ROOFS, heard.append, 3, 0.1, 0.1, lambda _: suite.RESERVE_BYTES["cpu"] + 100_000)
    (row,) = made.run(TINY[:1])
    assert row.work.g < row.asked_g == 600
    assert any("does not fit" in line for line in heard)


def test_shares_are_of_the_roof_that_binds() -> None:
    few = reached(Work(1, 1000, 100, 10), 1e-3, "bfloat16", "bfloat16", ROOFS)
    assert (few.bytes_per_s, few.roof, few.share) == (2e8, "copy bandwidth", 0.2)
    many = reached(Work(1000, 1000, 100, 10), 1e-3, "bfloat16", "bfloat16", ROOFS)
    assert (many.flop_per_s, many.roof, many.share) == (2e11, "copy bandwidth", 0.2)
    many = reached(Work(10_000, 1000, 100, 10), 2e-3, "bfloat16", "bfloat16", ROOFS)
    assert (many.roof, many.share) == ("bfloat16 matmul", 0.5)


def test_roofs_are_measured() -> None:
    roofs = measure_roofs("cpu", copy_bytes=2**20, side=64)
    assert roofs.copy_bytes_per_s > 0
    assert {"float32", "bfloat16"} <= set(roofs.flop_per_s)


def test_clustered_vectors_are_units_near_their_kind() -> None:
    gallery, queries = draw(20_000, 5, 64, "clustered", torch.float32, torch.Generator().manual_seed(0))
    assert torch.linalg.vector_norm(gallery, dim=1).sub(1).abs().max() < 1e-5
    best = (queries @ gallery.T).topk(2).values
    assert ((best > 0.5) & (best < 0.95)).all()
    with pytest.raises(ValueError, match="allowed"):
        draw(1, 1, 4, "odd", torch.float32, torch.Generator())


def test_tables_name_peers_that_exist_and_share_vectors() -> None:
    for device, works in [
        *((name, works) for name, tables in TABLES.items() for works in tables.values()),
        *QUICK.items(),
    ]:
        names = {peer.name for peer in peers_on(device)}
        assert all(set(work.peers or ()) <= names for work in works)
        datasets = [members[0].dataset for members in group(works)]
        assert len(datasets) == len(set(datasets)), "works that share vectors stand apart, and would draw them twice"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device, and the peer may be here")
@pytest.mark.parametrize("build", [gpu_peers.faiss_bfknn, gpu_peers.faiss_bfknn_cuvs])
def test_a_gpu_peer_says_why_it_is_absent(build: Callable[[Tensor, str], Search]) -> None:
    with pytest.raises(AbsentError, match=r"not installed|without CUDA"):
        build(torch.zeros(4, 4), "sq_euclidean")


def test_a_device_names_its_file() -> None:
    assert slug("Intel(R) Xeon(R) Processor") == "intel-r-xeon-r-processor"
