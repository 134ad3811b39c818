"""Lists stay what a full search would give, whatever comes, changes and goes, and wherever a run is killed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from visnet.pipeline.log import SILENT
from visnet.stages import knn_results
from visnet.stages.knn_results import Params
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import Table

PARAMS = Params(k=3, similar_k=2)
CATEGORIES = ("bags", "shoes")
# crop id -> product, category, side, vector: what the shop holds
Shop = dict[str, tuple[str, str, str, tuple[int, ...]]]
VECTORS = st.tuples(st.integers(-2, 2), st.integers(-2, 2))  # so few that distances tie all the time


def write(folder: Path, shop: Shop, model: str = "m1") -> None:
    shutil.rmtree(folder, ignore_errors=True)
    ids = sorted(shop, key=lambda crop: hash((crop, len(shop))))  # a table's own order says nothing
    flat = np.array([shop[crop][3] for crop in ids], np.float32)
    rows = {
        "crop_id": ids,
        "product_id": [shop[crop][0] for crop in ids],
        "category": [shop[crop][1] for crop in ids],
        "side": [shop[crop][2] for crop in ids],
        "colour": [""] * len(ids),
        "model": [model] * len(ids),
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1]),
        "source": ["" for _ in ids],
        "content": [fingerprint(*shop[crop][3]) for crop in ids],
    }
    Table(folder / "embeddings.lance", "crop_id").put(pa.table(rows))


Query = str | tuple[str, str]  # a street crop, or category and product
Answers = dict[Query, list[tuple[str, str, float]]]


def answers(folder: Path) -> Answers:
    columns = ["query_id", "kind", "category", "product_id", "products", "crops", "sq_distances"]
    table = Table(folder / "knn.lance").read(columns)
    assert len(set(table["query_id"].to_pylist())) == table.num_rows
    return {
        row["query_id"] if row["kind"] == "street" else (row["category"], row["product_id"]): list(
            zip(row["products"], row["crops"], row["sq_distances"], strict=True)
        )
        for row in table.to_pylist()
    }


def by_hand(shop: Shop) -> Answers:
    """The same answers by loops over pairs."""
    asked: dict[Query, tuple[str, str, list[tuple[int, ...]], int]] = {}
    for crop, (product, category, side, vector) in shop.items():
        if side == "street":
            asked[crop] = ("", category, [vector], PARAMS.k)
        else:
            asked.setdefault((category, product), (product, category, [], PARAMS.similar_k))[2].append(vector)
    made: Answers = {}
    for query, (own, category, vectors, k) in asked.items():
        best: dict[str, tuple[float, str]] = {}
        for crop, (product, theirs, side, vector) in shop.items():
            if (side, theirs) == ("shop", category) and product != own:
                distance = min(float(sum((a - b) ** 2 for a, b in zip(v, vector, strict=True))) for v in vectors)
                best[product] = min(best.get(product, (np.inf, "")), (distance, crop))
        nearest = sorted((distance, crop, product) for product, (distance, crop) in best.items())
        made[query] = [(product, crop, distance) for distance, crop, product in nearest[:k]]
    return made


class Killed(Exception):
    """The process is gone."""


@contextmanager
def killed_after(commits: int) -> Iterator[None]:
    """Let so many commits pass, then none: as a kill would, between any two of them."""
    left = commits

    def counted(real: object) -> object:
        def call(*arguments: object, **named: object) -> object:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return real(*arguments, **named)  # type: ignore[operator]

        return call

    with mock.patch.multiple(Table, put=counted(Table.put), delete=counted(Table.delete)):
        yield


class History(RuleBasedStateMachine):
    """A shop that changes as it likes, and an index that follows when it is asked to."""

    def __init__(self) -> None:
        super().__init__()
        torch.set_num_threads(1)
        self.folder = Path(tempfile.mkdtemp(prefix="visnet-lists-"))
        self.shop: Shop = {}
        self.fresh = False

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @initialize(vectors=st.lists(VECTORS, min_size=24, max_size=40))
    def opens(self, vectors: list[tuple[int, ...]]) -> None:
        for number, vector in enumerate(vectors):
            self.comes(
                number % 16, number, CATEGORIES[number % 16 % 2], "street" if number % 8 == 7 else "shop", vector
            )
        self.runs()

    @rule(
        product=st.integers(0, 19), photo=st.integers(0, 60), category=st.sampled_from(CATEGORIES),
        side=st.sampled_from(["shop", "shop", "street"]), vector=VECTORS,
    )  # fmt: skip
    def comes(self, product: int, photo: int, category: str, side: str, vector: tuple[int, ...]) -> None:
        """A photo that is new, or has another picture, another category, another side."""
        self.shop[f"{photo:02d}|p{product:02d}|0"] = (f"p{product:02d}", category, side, vector)
        self.fresh = False

    @rule(data=st.data())
    def goes(self, data: st.DataObject) -> None:
        if len(self.shop) > 4:
            del self.shop[data.draw(st.sampled_from(sorted(self.shop)))]
            self.fresh = False

    @rule(data=st.data())
    def product_goes(self, data: st.DataObject) -> None:
        product = data.draw(st.sampled_from(sorted({row[0] for row in self.shop.values()})))
        left = {crop: row for crop, row in self.shop.items() if row[0] != product}
        if len(left) > 4:
            self.shop, self.fresh = left, False

    @rule(commits=st.integers(0, 6))
    def is_killed(self, commits: int) -> None:
        with killed_after(commits):
            try:
                self.runs()
            except Killed:
                self.fresh = False

    @rule()
    def runs(self) -> None:
        write(self.folder / "vectors", self.shop)
        self.report = knn_results.build(self.folder / "vectors", out=self.folder / "out", params=PARAMS, log=SILENT)
        self.fresh = True

    @invariant()
    def the_lists_are_exact(self) -> None:
        if self.fresh:
            assert answers(self.folder / "out") == by_hand(self.shop)


with mock.patch.object(knn_results, "ANEW_SHARE", 2.0):  # however much changes, lists are merged
    TestHistory = History.TestCase
TestHistory.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(autouse=True)
def merge_always(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "anew" not in request.node.name:
        monkeypatch.setattr(knn_results, "ANEW_SHARE", 2.0)


def shop_of(products: int, seed: int) -> Shop:
    rng = np.random.default_rng(seed)
    return {
        f"{photo}{product:03d}|p{product:03d}|0": (
            f"p{product:03d}", "bags", "shop", tuple(rng.integers(-50, 50, 4).tolist()),
        )
        for product in range(products)
        for photo in "ab"
    }  # fmt: skip


def test_a_small_change_searches_little_and_the_digest_is_a_clean_builds(tmp_path: Path) -> None:
    shop = shop_of(200, seed=1)
    write(tmp_path / "vectors", shop)
    first = knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=PARAMS, log=SILENT)
    assert (first["lists_searched"], first["lists_merged"], first["added"]) == (200, 0, 200)
    for crop in ("a007|p007|0", "b007|p007|0"):
        del shop[crop]
    shop["a300|p300|0"] = ("p300", "bags", "shop", (1, 2, 3, 4))
    write(tmp_path / "vectors", shop)
    second = knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=PARAMS, log=SILENT)
    assert second["lists_searched"] == 1  # of the new product
    assert 0 < second["lists_merged"] < 30
    assert (second["added"], second["removed"]) == (1, 1)
    clean = knn_results.build(tmp_path / "vectors", out=tmp_path / "clean", params=PARAMS, log=SILENT)
    assert second["digest"] == clean["digest"]
    version = Table(tmp_path / "out" / "knn.lance").version
    third = knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=PARAMS, log=SILENT)
    assert third["digest"] == clean["digest"]
    assert [third[key] for key in ("added", "changed", "removed", "lists_searched", "lists_merged")] == [0] * 5
    assert Table(tmp_path / "out" / "knn.lance").version == version  # nothing new: nothing written


@pytest.mark.parametrize("what", ["another model", "other k", "most of it, anew"])
def test_lists_are_made_anew(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn_results, "ANEW_SHARE", 0.25)
    shop, params, model = shop_of(40, seed=2), PARAMS, "m1"
    write(tmp_path / "vectors", shop)
    knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=params, log=SILENT)
    if what == "another model":
        model = "m2"
    elif what == "other k":
        params = Params(k=4, similar_k=3)
    else:
        shop |= dict(list(shop_of(40, seed=3).items())[:30])
    write(tmp_path / "vectors", shop, model)
    again = knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=params, log=SILENT)
    clean = knn_results.build(tmp_path / "vectors", out=tmp_path / "clean", params=params, log=SILENT)
    assert again["lists_searched"] == 40
    assert again["digest"] == clean["digest"]


def test_a_change_that_was_half_applied_and_then_undone_leaves_no_trace(tmp_path: Path) -> None:
    shop = shop_of(30, seed=4)
    moved = shop | {"a007|p007|0": ("p007", "bags", "shop", shop["a000|p000|0"][3])}
    more = shop | {"c008|p008|0": ("p008", "bags", "shop", shop["a001|p001|0"][3])}
    write(tmp_path / "vectors", shop)
    clean = knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=PARAMS, log=SILENT)
    stopped = 0
    for other in (moved, more):
        for commits in range(6):
            write(tmp_path / "vectors", other)
            with killed_after(commits):
                try:
                    knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=PARAMS, log=SILENT)
                except Killed:
                    stopped += 1
            write(tmp_path / "vectors", shop)
            again = knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=PARAMS, log=SILENT)
            assert again["digest"] == clean["digest"], commits
    assert stopped >= 6


def test_products_whose_joined_names_are_alike_have_a_list_each(tmp_path: Path) -> None:
    names = (
        [(f"a{sign}b", "c") for sign in "|/:=\t\n\x1f"] + [("a", f"b{sign}c") for sign in "|/:=\t\n\x1f"] + [("", "a")]
    )
    shop: Shop = {
        f"{number:02d} {other}": (product + other, category, "shop", (number, number // 2))
        for number, (category, product) in enumerate(names)
        for other in ("", "'")
    }
    write(tmp_path / "vectors", shop)
    knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=PARAMS, log=SILENT)
    assert answers(tmp_path / "out") == by_hand(shop)


def test_a_product_that_changes_its_category_is_noticed_whatever_signs_their_names_have(tmp_path: Path) -> None:
    shop: Shop = {f"{row:02d}": (f"p{row}", ("q|r", "r")[row % 2], "shop", (row, 1)) for row in range(8)}
    write(tmp_path / "vectors", shop | {"99": ("p", "q|r", "shop", (3, 3))})
    knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=PARAMS, log=SILENT)
    moved: Shop = shop | {"99": ("p|q", "r", "shop", (3, 3))}
    write(tmp_path / "vectors", moved)
    knn_results.build(tmp_path / "vectors", out=tmp_path / "out", params=PARAMS, log=SILENT)
    assert answers(tmp_path / "out") == by_hand(moved)


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_category_can_lose_all_but_the_last_of_its_photos(left: int, tmp_path: Path) -> None:
    folder, out = tmp_path / "vectors", tmp_path / "out"
    out.mkdir()
    shop: Shop = {f"s{at}": (f"p{at}", "bags", "shop", (at, 0)) for at in range(6)}
    shop |= {"asked": ("p0", "bags", "street", (0, 0)), "other": ("q0", "shoes", "shop", (0, 0))}
    write(folder, shop)
    knn_results.build(folder, out=out, params=PARAMS, log=SILENT)
    kept = {crop: row for crop, row in shop.items() if crop in ("asked", "other", *(f"s{at}" for at in range(left)))}
    write(folder, kept)
    knn_results.build(folder, out=out, params=PARAMS, log=SILENT)
    assert [product for product, *_ in answers(out).get("asked", [])] == [f"p{at}" for at in range(left)]
