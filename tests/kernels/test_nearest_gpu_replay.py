"""Searches of one kind that are repeated, from a graph on a GPU: the same answers, whatever was searched before."""

import dataclasses
import threading

import pytest
import torch

from kernels.nearest import METRICS, Gallery, nearest

gpu = pytest.importorskip("kernels.nearest.gpu", reason="triton is not installed", exc_type=ImportError)
from kernels.nearest import gpu_replay  # noqa: E402 (triton may be absent)
from tests.kernels.on_gpu import DEVICE, DTYPES, normal  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not (gpu.INTERPRETED or torch.cuda.is_available()), reason="no CUDA device"),
]


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the interpreter look at no more columns than these galleries have rows."""
    monkeypatch.setattr(gpu_replay, "FIRST_WIDTH", 64)
    monkeypatch.setattr(gpu_replay, "LEAST_WIDTH", 160)


def replays(gallery: Gallery) -> list[int]:
    """Say how often each kind of search was repeated."""
    return [kind.replays for kind in gallery.prepared.replays._kept.values()]


@pytest.fixture
def only_replays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call it red where a search does what a repeated round should have done."""
    monkeypatch.setattr(gpu, "_in_rounds", lambda *_: pytest.fail("a round that waits was needed"))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("dtype", "compute"), [*((dtype, "auto") for dtype in DTYPES), (torch.float32, "int8")])
def test_each_repeated_search_answers_its_own_queries(metric, dtype, compute, assert_same):
    vectors = normal(150, 20, dtype=dtype)
    gallery = Gallery(vectors, metric=metric, compute=compute, backend="triton")
    asked = [normal(3, 20, seed=seed, dtype=dtype) for seed in (7, 8, 9, 10)]
    answers = [nearest(queries, gallery, 4) for queries in asked]
    assert replays(gallery)[0] >= 2
    for queries, found in zip(asked, answers, strict=True):  # by now the memory of each has been written to again
        assert_same(found, nearest(queries, vectors, 4, metric=metric, backend="reference"))
        assert found.proven.all()


def test_as_many_queries_as_one_likes_share_a_kind(assert_same, request):
    vectors = normal(150, 20)
    gallery = Gallery(vectors, backend="triton")
    for h in (4, 4):
        nearest(vectors[:h], gallery, 5)
    request.getfixturevalue("only_replays")
    for h in (3, 4):
        queries = normal(h, 20, seed=h)
        assert_same(nearest(queries, gallery, 5), nearest(queries, vectors, 5, backend="reference"))
    assert len(replays(gallery)) == 1
    assert [gpu_replay.rounded(h) for h in (1, 2, 3, 100, 128, 129, 512)] == [1, 2, 4, 128, 128, 256, 512]


def test_each_query_excludes_its_own_row(assert_same):
    vectors = normal(90, 8)
    gallery = Gallery(vectors, backend="triton")
    for start in (0, 10, 20, 30):
        exclude = torch.arange(start, start + 3, device=DEVICE)
        exclude[1] = -1
        queries = vectors[start : start + 3]
        found = nearest(queries, gallery, 5, exclude=exclude)
        assert_same(found, nearest(queries, vectors, 5, exclude=exclude, backend="reference"))
        assert [start in found.row[0], start + 1 in found.row[1], start + 2 in found.row[2]] == [False, True, False]


def test_a_product_in_the_catalog_is_found_without_another_round(only_replays, monkeypatch, assert_same):
    vectors = normal(120, 32)
    gallery = Gallery(vectors, backend="triton")
    gallery.prepared.replays._known[1, 5, torch.float32, False] = gpu_replay.Known(64)
    for row in (3, 90, 110):
        found = nearest(vectors[row : row + 1], gallery, 5)
        assert (int(found.row[0, 0]), float(found.score[0, 0])) == (row, 0.0)


def test_what_a_round_leaves_open_is_settled_by_others(monkeypatch, assert_same):
    monkeypatch.setattr(gpu_replay, "LEAST_WIDTH", 16)
    monkeypatch.setattr(gpu_replay, "TRIED", 3)
    # Of a crowd as large as this one, more than a replay has columns for are as near as the k first.
    crowd = normal(1, 8, seed=3) + 1e-6 * normal(60, 8, seed=4)
    vectors = torch.cat((normal(100, 8), crowd))
    gallery = Gallery(vectors, compute="int8", backend="triton")
    kind = (2, 3, torch.float32, False)
    gallery.prepared.replays._known[kind] = gpu_replay.Known(16)
    for turn in range(3 * gpu_replay.TRIED):
        queries = torch.cat((normal(1, 8, seed=turn), crowd[:1] * 1.001 if turn else normal(1, 8, seed=50)))
        found = nearest(queries, gallery, 3)
        assert_same(found, nearest(queries, vectors, 3, backend="reference"))
    kept = gallery.prepared.replays
    assert kept._known[kind].hopeless or kept._kept[kind].width >= 60


def test_equal_rows_and_queries_without_a_bound(monkeypatch, assert_same):
    monkeypatch.setattr(gpu_replay, "TRIED", 3)
    equal = Gallery(normal(1, 6).expand(150, 6), backend="triton")
    cosine = Gallery(normal(60, 6), metric="cosine", backend="triton")
    for turn in range(gpu_replay.TRIED + 3):
        queries = normal(2, 6, seed=turn)
        assert_same(nearest(queries, equal, 3), nearest(queries, equal.vectors, 3, backend="reference"))
        huge = torch.cat((queries[:1] * 1e30, queries[1:], torch.zeros_like(queries)))
        expected = nearest(huge, cosine.vectors, 3, metric="cosine", backend="reference")
        assert_same(nearest(huge, cosine, 3), expected)
    assert [known.hopeless for known in cosine.prepared.replays._known.values()] == [True], "more room does not help"
    assert not cosine.prepared.replays._kept


def test_room_that_was_once_too_little_is_not_tried_again(monkeypatch, assert_same):
    monkeypatch.setattr(gpu_replay, "TRIED", 2)
    vectors = normal(150, 8)
    gallery = Gallery(vectors, backend="triton")
    kept = gallery.prepared.replays
    for seed in (1, 2):
        nearest(normal(2, 8, seed=seed), gallery, 3)
    ((kind, replay),) = kept._kept.items()
    once, replay.width = replay.run, 40
    replay.run = lambda: dataclasses.replace(
        once(), settled=torch.zeros_like(once().settled), survivors=torch.tensor(41)
    )
    for seed in (3, 4, 5):
        queries = normal(2, 8, seed=seed)
        assert_same(nearest(queries, gallery, 3), nearest(queries, vectors, 3, backend="reference"))
    assert not kept._known[kind].hopeless
    assert kept._kept[kind].width == 80, "though the searches of just now would do with less"


def test_searches_in_inference_mode_and_out_of_it_share_a_kind(assert_same):
    vectors = normal(120, 8)
    gallery = Gallery(vectors, backend="triton")
    for inference in (True, True, False, True):
        with torch.inference_mode(inference):
            queries = normal(2, 8, seed=int(inference))
            assert_same(nearest(queries, gallery, 3), nearest(queries, vectors, 3, backend="reference"))
    assert replays(gallery) == [3]


@pytest.mark.skipif(gpu.INTERPRETED, reason="nothing is captured in the interpreter")
def test_where_a_capture_fails_searches_go_on_as_before(monkeypatch, caplog, assert_same):
    monkeypatch.setattr(gpu_replay, "_failed", [])

    def fail(*_: object) -> None:
        torch.cuda.set_stream(torch.cuda.Stream())
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(gpu_replay.Replays, "_graph", fail)
    stream, vectors = torch.cuda.current_stream(), normal(120, 8)
    for gallery in (Gallery(vectors, backend="triton"), Gallery(vectors, backend="triton")):
        for seed in range(4):
            queries = normal(2, 8, seed=seed)
            assert_same(nearest(queries, gallery, 3), nearest(queries, vectors, 3, backend="reference"))
    assert torch.cuda.current_stream() == stream
    assert [record.message for record in caplog.records] == [
        "searches are not repeated from a CUDA graph: operation not permitted when stream is capturing"
    ]


def test_broken_arithmetic_is_not_believed_when_it_is_repeated(assert_same):
    queries, gallery = normal(3, 8), Gallery(normal(60, 8, seed=1), compute="bfloat16", backend="triton")
    gallery.prepared.scanned.codes.mul_(1.5)
    for _ in range(3):
        found = nearest(queries, gallery, 5)
        assert not found.proven.any()
        assert_same(found, nearest(queries, gallery.vectors, 5, backend="reference"))


@pytest.mark.skipif(gpu.INTERPRETED, reason="the interpreter is one thread's")
def test_threads_take_turns(assert_same):
    vectors = normal(150, 20)
    gallery = Gallery(vectors, backend="triton")
    answers: dict[int, list[object]] = {}

    def search(seed: int) -> None:
        answers[seed] = [nearest(normal(2, 20, seed=seed), gallery, 4) for _ in range(5)]

    threads = [threading.Thread(target=search, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, found in answers.items():
        expected = nearest(normal(2, 20, seed=seed), vectors, 4, backend="reference")
        for one in found:
            assert_same(one, expected)


def test_only_so_many_kinds_are_kept(monkeypatch):
    monkeypatch.setattr(gpu_replay, "KEPT", 2)
    gallery = Gallery(normal(60, 8), backend="triton")
    for k in (1, 2, 3):
        for _ in range(3):
            nearest(normal(1, 8), gallery, k)
    assert [kind[1] for kind in gallery.prepared.replays._kept] == [2, 3]
    nearest(normal(1, 8), gallery, 1)
    assert [kind[1] for kind in gallery.prepared.replays._kept] == [2, 3], (
        "else kinds in turn would be captured each time"
    )
    nearest(normal(1, 8), gallery, 1)
    assert [kind[1] for kind in gallery.prepared.replays._kept] == [3, 1]


def test_of_only_so_many_kinds_something_is_known(monkeypatch):
    monkeypatch.setattr(gpu_replay, "KNOWN", 3)
    gallery = Gallery(normal(60, 8), backend="triton")
    for k in (1, 1, 2, 3, 4, 1):
        nearest(normal(1, 8), gallery, k)
    assert [kind[1] for kind in gallery.prepared.replays._known] == [3, 4, 1]
    assert not gallery.prepared.replays._kept
