"""The service while products are added to a large catalog, each with a photo, and photos are searched with."""

import asyncio
import io
import json
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import serve_load as load
import serve_shop
from PIL import Image
from serve_requests import by_photo
from serve_systems import OURS, started

LINE = """[raw_images]
source = "feed"
metadata = "inbox"

[raw_images.feed]
photos = "uploads"
"""
KEY = "benchmark"
LOOKED_S = 0.02  # between two questions whether a product answers
WAITED = 20  # one product in so many is waited for: more of them, and the questions are what is measured
FIRST_S = 5.0  # not counted


@dataclass
class Seen:
    """Seconds from when a change was due until it was kept, and until it answered; and what went wrong."""

    kept_s: list[float] = field(default_factory=list)
    visible_s: list[float] = field(default_factory=list)
    refused: int = 0
    not_found: int = 0  # products that their own photo did not find among ten, once they were said to answer
    seconds: float = 0.0

    def row(self, rate: float, searches: load.Load) -> list[str]:
        """Return the cells of a table."""
        kept, visible = np.quantile(self.kept_s, (0.5, 0.99)) * 1e3, np.quantile(self.visible_s, (0.5, 0.99)) * 1e3
        return [
            f"{rate:g}",
            f"{len(self.kept_s) / self.seconds:.0f}",
            f"{kept[0]:.0f} / {kept[1]:.0f}",
            f"{visible[0]:.0f} / {visible[1]:.0f}",
            f"{self.refused}",
            f"{self.not_found} of {len(self.visible_s)}",
            f"{searches.at(0.5):.0f} / {searches.at(0.99):.0f}",
            f"{searches.failed}",
        ]


HEADS = ["asked a second", "kept", "kept, p50 / p99 ms", "answers, p50 / p99 ms", "refused", "not found"]
HEADS += ["search, p50 / p99 ms", "failed"]


def changed(big: Path, shop: Path, rates: tuple[float, ...], seconds: float, searches_per_s: float) -> list[list[str]]:
    """Add products at rates while photos are searched with; return a row of a table for each.

    Every 20th product is waited for: from when it was due until a search with its photo may find it, as the service
    says; then it must be among the first ten, since another one may look more alike than its own cut photo.
    """
    (big / "params.toml").write_text(LINE, encoding="utf-8")
    _forget(big)
    for folder in ("inbox", "uploads"):
        (big / folder).mkdir(exist_ok=True)
    key = _key(big)
    rows = []
    with started(OURS, big) as service:
        searches = by_photo(shop)[OURS]
        load.fastest(service.port, searches, 8, 2.0)
        for turn, rate in enumerate(rates):
            photos = _photos(shop, int(rate * seconds), turn)
            seen, beside = load.run(_changing(service.port, key, photos, rate, searches, searches_per_s, turn))
            rows.append(seen.row(rate, beside))
    _forget(big)
    return rows


def _forget(big: Path) -> None:
    """Remove all changes: those that wait for a version would lie over all that is measured next."""
    for path in [*(big / "data").glob("live.sqlite*"), *(big / "inbox").glob("*"), *(big / "uploads").glob("*/*")]:
        path.unlink()


async def _changing(
    port: int, key: str, photos: list[bytes], rate: float, searches: list[bytes], searches_per_s: float, turn: int
) -> tuple[Seen, load.Load]:
    seen, beside, rng = Seen(), load.Load(), np.random.default_rng(turn)
    due = np.cumsum(rng.exponential(1 / rate, len(photos)))
    free = deque(await load.opened(port))
    authorized = {"Authorization": f"Bearer {key}"}
    begun_s = time.perf_counter()

    async def ask(request: bytes) -> tuple[int, bytes]:
        connection = free.pop() if free else load.Connection(port)
        answer = await connection.ask(request)
        free.append(connection)
        return answer

    async def put(at: int, due_s: float) -> None:
        name = f"added-{turn}-{at:06d}"
        record = json.dumps({"category": f"category-{at % serve_shop.CATEGORIES:02d}", "split": ""})
        request = load.upload("PUT", f"/v1/products/{name}", photos[at], authorized, record=record)
        status, body = await ask(request)
        counted = due_s - begun_s > FIRST_S
        if status != 202:
            seen.refused += counted
            return
        if counted:
            seen.kept_s.append(time.perf_counter() - due_s)
        if counted and at % WAITED == 0:
            batch = json.loads(body)["batch"]
            while _waits(*await ask(load.get(f"/v1/changes/{batch}", authorized))):
                await asyncio.sleep(LOOKED_S)
            seen.visible_s.append(time.perf_counter() - due_s)
            status, body = await ask(load.post("/v1/search", photos[at], limit="10"))
            if status == 200:
                seen.not_found += all(one["product_id"] != name for one in json.loads(body)["results"])
            else:
                beside.statuses[status] += 1

    async def search(at: int, due_s: float) -> None:
        status, _ = await ask(searches[at % len(searches)])
        if status == 200:
            beside.times_s.append(time.perf_counter() - due_s)
        else:
            beside.statuses[status] += 1

    async def all_of(work: Callable[[int, float], Coroutine[Any, Any, None]], times: np.ndarray) -> None:
        tasks = []
        for at, after_s in enumerate(times):
            if (wait_s := begun_s + after_s - time.perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            tasks.append(asyncio.create_task(work(at, begun_s + after_s)))
        await asyncio.gather(*tasks)

    asked = np.cumsum(rng.exponential(1 / searches_per_s, int(searches_per_s * due[-1])))
    await asyncio.gather(all_of(put, due), all_of(search, asked))
    seen.seconds = time.perf_counter() - begun_s - FIRST_S
    for connection in free:
        connection.close()
    return seen, beside


def _waits(status: int, body: bytes) -> bool:
    """Whether a change does not answer yet, or the service has asked to come again."""
    return status != 200 or json.loads(body)["changes"][0]["state"] == "waiting"


def _key(big: Path) -> str:
    from visnet.serving.app import keys

    data = big / "data"
    if any(name == KEY for name, _ in keys.names(data)):
        keys.remove(KEY, data)
    return keys.add(KEY, data)


def _photos(shop: Path, count: int, turn: int) -> list[bytes]:
    """Make photos that no product has, each unlike the others: those of a shop below a field of colours of its own."""
    base = [Image.open(io.BytesIO(data)).convert("RGB") for data in serve_shop.photos(shop, 64)]
    rng, made = np.random.default_rng(100 + turn), []
    for at in range(count):
        picture = base[at % len(base)]
        field = Image.fromarray(rng.integers(0, 256, (3, 3, 3), dtype=np.uint8)).resize(picture.size)
        file = io.BytesIO()
        Image.blend(picture, field, 0.6).save(file, "JPEG", quality=90)
        made.append(file.getvalue())
    return made
