"""The compiled scan: every variant that this processor runs says what the reference says, to the bit."""

import os
import threading

import pytest
import torch

from kernels.nearest import (
    METRICS,
    Gallery,
    LiveGallery,
    Neighbors,
    cpu,
    exact,
    nearest,
    pairs_within,
    survive,
)
from kernels.nearest.contract import Admission
from kernels.nearest.native import search
from tests.kernels import test_nearest_property as property_tests
from tests.kernels.native import COMPILER, RUNNING, forced, normal

hypothesis = pytest.importorskip("hypothesis")
pytestmark = pytest.mark.skipif(not COMPILER, reason="there is no C compiler")
COMPUTES = ("float32", "bfloat16", "int8")


def test_whatever_the_values_and_filters_the_answer_is_the_same(way, split):
    @hypothesis.settings(max_examples=40, derandomize=True, database=None)
    @hypothesis.given(property_tests.problems(), property_tests.st.sampled_from(COMPUTES))
    def check(problem, compute):
        queries, gallery, k, metric, filters = problem
        expected = nearest(queries, gallery, k, metric=metric, backend="reference", **filters)
        for found in (
            nearest(queries, gallery, k, metric=metric, compute=compute, backend="cpu", **filters),
            nearest(queries, Gallery(gallery, metric=metric, compute=compute), k, **filters),
        ):
            assert found.row.tolist() == expected.row.tolist()
            assert found.score.tolist() == expected.score.tolist()
        if not filters:
            score, row = exact.search(queries, gallery, min(k, len(gallery)), metric, Admission())
            assert (row.tolist(), score.tolist()) == (expected.row.tolist(), expected.score.tolist())

    check()


@pytest.mark.parametrize("compute", COMPUTES)
def test_blocks_of_queries_of_every_width_are_proven(way, compute, split, assert_same, no_fallback):
    gallery = normal(1501, 77, seed=1) + 1.0
    for at, q in enumerate((1, 3, 8, 9, 40, 70)):
        queries, metric = normal(q, 77), METRICS[at % 3]
        ready = Gallery(gallery, metric=metric, compute=compute)
        expected = nearest(queries, gallery, 20, metric=metric, backend="reference")
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found = nearest(queries, ready, 20)
            assert_same(found, expected)
            assert found.proven.all()


@pytest.mark.parametrize("longest", [2.0**49, 2.0**51])
def test_only_queries_that_are_not_too_long_have_a_bound(way, longest, assert_same):
    queries, gallery = torch.tensor([[1.0, 0.0], [longest, 0.0]]), normal(99, 2)
    found = nearest(queries, Gallery(gallery), 3)
    assert_same(found, nearest(queries, gallery, 3, backend="reference"))
    assert found.proven.all() == (longest < 2.0**50)


@pytest.mark.parametrize(("g", "d"), [(1, 1), (1, 4096), (13, 7), (300, 4096), (2, 33_000), (2000, 1)])
def test_odd_sizes(way, g, d, assert_same):
    queries, gallery = normal(9, d), normal(g, d, seed=1)
    for compute in COMPUTES:
        found = nearest(queries, Gallery(gallery, compute=compute), 5)
        assert_same(found, nearest(queries, gallery, 5, backend="reference"))


@pytest.mark.parametrize("order", ["nearest last", "nearest first", "in clusters"])
@pytest.mark.parametrize("k", [3, 400])
def test_thresholds_follow_galleries_in_any_order(way, order, k, assert_same):
    gallery = normal(6000, 8)
    queries = gallery[::1500] + 0.01
    distance = (gallery - queries[0]).norm(dim=1)
    if order == "in clusters":
        gallery = gallery[::30].repeat_interleave(30, dim=0) + 1e-3 * normal(6000, 8, seed=1)
    else:
        gallery = gallery[distance.argsort(descending=order == "nearest last")]
    group = torch.arange(6000) // 4
    for compute in COMPUTES:
        ready = Gallery(gallery, compute=compute)
        for options in ({}, {"group": group, "exclude": group[::1500].clone()}, {"valid": torch.arange(6000) % 7 == 0}):
            found = nearest(queries, ready, k, **options)
            assert_same(found, nearest(queries, gallery, k, backend="reference", **options))


@pytest.mark.parametrize("unit", [4, 12, 32])
def test_a_threshold_that_was_guessed_too_high_is_not_believed(native_way, unit, monkeypatch, assert_same):
    # All near rows stand where the scan looks first: among them the guess sees more than its share.
    gallery = normal(9000, 16, seed=1) + 20.0
    first = torch.arange(9000) // unit % 64 == 0
    gallery[first] -= 20.0
    queries, asked = normal(20, 16), []
    scan = search.answer

    def answer(*given, guess):
        asked.append((len(given[1]), guess))
        return scan(*given, guess=guess)

    monkeypatch.setattr(search, "answer", answer)
    for metric in METRICS:
        ready = Gallery(gallery, metric=metric)
        found = nearest(queries, ready, 200)
        assert_same(found, nearest(queries, gallery, 200, metric=metric, backend="reference"))
        assert found.proven.all()
    if unit == {"amx": 32, "avx2": 4, "neon": 4, "portable": 4}.get(native_way, 12):
        assert asked[:2] == [(20, True), (20, False)]


def test_a_score_of_the_kth_that_was_guessed_too_good_is_not_believed(native_way, assert_same):
    # Of equal rows no score may reach what the middle of their bounds promises.
    for metric in METRICS:
        gallery = normal(1, 24, seed=3).repeat(400, 1)
        gallery[::50] += 0.25 * normal(8, 24, seed=4)
        queries = normal(40, 24)
        for compute in COMPUTES:
            found = nearest(queries, Gallery(gallery, metric=metric, compute=compute), 100)
            assert_same(found, nearest(queries, gallery, 100, metric=metric, backend="reference"))
            assert found.proven.all()


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e17])
def test_many_neighbours_of_many_queries(way, scale, assert_same):
    # Of like vectors, which stand everywhere, the first in the gallery's order; and of vectors of any size.
    some = normal(60, 33, seed=2)
    alike, far = some.repeat(100, 1), normal(6000, 33, seed=3) + 5.0 * (torch.arange(6000) % 3 == 0)[:, None]
    for gallery in (alike, far):
        for compute, metric in zip(COMPUTES, METRICS, strict=True):
            ready = Gallery(gallery * scale, metric=metric, compute=compute)
            for q in (3, 20):
                queries = normal(q, 33) * scale
                expected = nearest(queries, gallery * scale, 300, metric=metric, backend="reference")
                assert_same(nearest(queries, ready, 300), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int8])
@pytest.mark.parametrize("strided", [False, True])
def test_rows_of_any_type_and_stride_are_scored_for_many_neighbours(way, dtype, strided, assert_same):
    gallery = (20.0 * normal(33, 3000, seed=1).T).to(dtype)
    gallery = gallery if strided else gallery.contiguous()
    ready = Gallery(gallery)
    for q in (1, 20):
        queries = 20.0 * normal(q, 33)
        assert_same(nearest(queries, ready, 300), nearest(queries, gallery, 300, backend="reference"))


def test_a_bound_that_is_not_kept_is_not_believed(way, assert_same):
    queries, gallery = normal(9, 64), normal(257, 64, seed=1)
    expected = nearest(queries, gallery, 5, backend="reference")
    for compute in COMPUTES:
        ready = Gallery(gallery, compute=compute)
        codes = ready.prepared.codes.codes
        codes[:, :8] = -codes[:, :8]  # as a miscompiled product would have it
        found = nearest(queries, ready, 5)
        assert not found.proven.all()
        mended = found.proven.logical_not()
        assert found.row[mended].tolist() == expected.row[mended].tolist()


def test_more_ties_than_there_is_room_for_go_to_the_fallback(way, monkeypatch, assert_same):
    monkeypatch.setattr(survive, "LEAST_SURVIVORS", 8)
    monkeypatch.setattr(survive, "PENDING", 8)
    gallery = normal(8, 6).repeat(400, 1)
    found = nearest(gallery[:7], gallery, 5, backend="cpu")
    assert not found.proven.any()
    assert_same(found, nearest(gallery[:7], gallery, 5, backend="reference"))


def test_many_threads_search_at_once(way, split):
    gallery = normal(2000, 32)
    ready, wrong = Gallery(gallery), []
    expected = nearest(gallery[:80], gallery, 7, backend="reference").row.tolist()

    def ask(start: int) -> None:
        for _ in range(5):
            if nearest(gallery[start : start + 10], ready, 7).row.tolist() != expected[start : start + 10]:
                wrong.append(start)

    threads = [threading.Thread(target=ask, args=(start,)) for start in range(0, 80, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.skipif(not RUNNING, reason="nothing is compiled here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_searches_on(split):
    with forced(RUNNING[0]):
        gallery = normal(2000, 32)
        ready = Gallery(gallery)
        expected = nearest(gallery[:20], ready, 7)  # the pool has threads now, which a fork does not take along
        child = os.fork()
        if child == 0:
            same = nearest(gallery[:20], ready, 7).row.equal(expected.row)
            os._exit(0 if same else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_all_kinds_of_search_agree(way):
    gallery, queries = normal(1200, 24).mul_(2).round_(), normal(6, 24, seed=1).mul_(2).round_()
    live = LiveGallery(24)
    live.append(gallery)
    expected = nearest(queries, gallery, 30, backend="reference")
    for found in (live.search(queries, 30), nearest(queries, gallery, 30), nearest(queries, Gallery(gallery), 30)):
        assert isinstance(found, Neighbors)
        assert (found.row.tolist(), found.score.tolist()) == (expected.row.tolist(), expected.score.tolist())
    pairs = pairs_within(queries, gallery, torch.full((1200,), float(expected.score[0, -1])))
    own = pairs.query == 0
    assert set(expected.row[0].tolist()) <= set(pairs.row[own].tolist())


def test_a_gallery_says_what_scans_it(way):
    ready = Gallery(normal(9, 4))
    assert ready.scan == f"{cpu.fastest()} by {'torch' if way == 'none' else way}"
    assert Gallery(normal(9, 4), compute="float32").scan.startswith("float32 by ")
    assert Gallery(normal(9, 4), backend="reference").scan == "reference"
