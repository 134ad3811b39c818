"""An engine that is let go is freed at once: another version of the catalog is in memory by then."""

import asyncio
import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from visnet.serving.app.columns import ANYWHERE
from visnet.serving.app.engine import Engine
from visnet.serving.app.filters import parsed
from visnet.serving.app.metrics import Metrics
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
