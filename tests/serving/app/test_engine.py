"""An engine that is let go is freed at once: another version is in memory by then, and no collector looks for it."""

import asyncio
import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from visnet.pipeline.collector import settle
from visnet.serving.app.columns import ANYWHERE
from visnet.serving.app.engine import Engine
from visnet.serving.app.filters import parsed
from visnet.serving.app.metrics import Metrics
from visnet.serving.app.server import application
from visnet.serving.app.settings import Settings
from visnet.serving.catalog import open_current


def test_an_engine_that_has_answered_is_freed_without_a_collection_of_cycles(place: Path) -> None:
    with ThreadPoolExecutor(1) as thread:
        engine = Engine(open_current(place / "data"), thread, thread, Metrics())
        engine.warm()

        async def answer(engine: Engine) -> None:
            await engine.check()
            red = engine.columns.where(None, parsed('{"column": "colour", "equals": "red"}'))
            assert len((await engine.like("p003", ANYWHERE)).row) == 23
            assert len((await engine.like("p003", red)).row)

        asyncio.run(answer(engine))
    seen = [weakref.ref(part) for part in (engine, engine.searcher, engine.facts, engine.columns, engine.overlay)]
    gc.disable()
    try:
        engine.close()
        del engine
        assert [part() for part in seen] == [None] * len(seen)
    finally:
        gc.enable()


def test_once_it_is_open_a_service_has_the_collector_pass_over_what_is_there(place: Path) -> None:
    frozen: list[int] = []
    gc.unfreeze()  # what test files import, which tests/conftest.py has the collector pass over

    def settled() -> None:
        settle()
        frozen.append(gc.get_freeze_count())

    async def opened() -> None:
        app = application(Settings(data=place / "data"), settled)
        assert frozen == []
        async with app.router.lifespan_context(app):
            assert app.state.visnet.engines.now is not None
            assert frozen[0] > 100_000, "the libraries' objects, and the engine's"
            assert len(gc.get_objects()) < 10_000

    try:
        asyncio.run(opened())
    finally:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
