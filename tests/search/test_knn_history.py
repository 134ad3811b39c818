"""Lists stay what a full search would give, whatever comes, changes and goes, and wherever a run is killed."""

import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.search.knn_shop import CATEGORIES, PARAMS, Killed, Shop, answers, by_hand, killed_after, write
from visnet.pipeline.log import SILENT
from visnet.stages import knn_results

VECTORS = st.tuples(st.integers(-2, 2), st.integers(-2, 2))  # so few that distances tie all the time


@pytest.fixture(autouse=True)
def merge_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much changes, lists are merged."""
    monkeypatch.setattr(knn_results, "ANEW_SHARE", 2.0)


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


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=25, stateful_step_count=25, suppress_health_check=list(HealthCheck))
