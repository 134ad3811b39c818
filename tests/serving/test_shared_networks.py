"""What a version shares with the one before it is taken from there, and is ready already."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.refreshing import put_model, put_stock, refresh, stock
from tests.serving.test_served_localizer import put_localizer
from visnet.localizing.localizer import Localizer
from visnet.serving import catalog
from visnet.serving.app.engine import Engine
from visnet.serving.app.metrics import Metrics


def test_the_networks_of_the_version_before_are_taken_where_they_are_the_same(shop: Path) -> None:
    with ThreadPoolExecutor(1) as thread:

        def opened(before: Engine | None) -> Engine:
            return Engine(catalog.open_current(shop / "data"), thread, thread, Metrics(), None, before)

        first = opened(None)
        put_stock(shop, stock(24, 1))
        refresh(shop)
        second = opened(first)
        assert second.searcher._network is first.searcher._network
        put_model(shop, seed=2)
        refresh(shop)
        third = opened(second)
        third.warm()
        assert third.searcher._network is not second.searcher._network
        assert (first.number, second.number, third.number) == (1, 2, 3)
        for engine in (first, second, third):
            engine.close()


def test_a_localizer_works_once_before_it_answers_and_not_again_for_a_version_that_has_the_same(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_localizer(shop)
    refresh(shop, "publish")
    asked: list[Localizer] = []
    propose = Localizer.propose
    monkeypatch.setattr(Localizer, "propose", lambda self, pictures: asked.append(self) or propose(self, pictures))  # type: ignore[func-returns-value]

    def warmed(before: Engine | None) -> Engine:
        made = Engine(catalog.open_current(shop / "data"), thread, thread, Metrics(), None, before)
        made.warm((1,))
        return made

    with ThreadPoolExecutor(1) as thread:
        first = warmed(None)
        put_stock(shop, stock(24, 1))
        refresh(shop)
        second = warmed(first)
        put_localizer(shop, unsure_below=0.6)
        refresh(shop, "publish")
        third = warmed(second)
        assert second.localizer not in third._warmed, "one that answers no more is not held"
        for engine in (first, second, third):
            engine.close()
    assert [engine.number for engine in (first, second, third)] == [2, 3, 4]
    assert asked == [first.localizer, third.localizer]
    assert second.localizer is first.localizer is not third.localizer
