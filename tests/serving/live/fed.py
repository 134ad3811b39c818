"""A tiny shop whose line reads a feed, the service over it, and a client that may write."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch

from tests import refreshing
from tests.serving.app.running import served
from visnet.client import Client
from visnet.embedding.vectors import read_vectors
from visnet.runs import runner
from visnet.serving import catalog
from visnet.serving.app import keys
from visnet.serving.live.line import Line

FEED = """[raw_images]
source = "feed"
metadata = "inbox"
commit_every = 8

[raw_images.feed]
photos = "images"
"""


def make(folder: Path, products: int = 24) -> Path:
    """Lay a shop out whose line reads a feed, and publish it once."""
    refreshing.make(folder, refreshing.stock(products))
    params = folder / "params.toml"
    params.write_text(FEED + "\n[crops]" + params.read_text().partition("[crops]")[2])
    lines = []
    for number in range(products):
        name = f"p{number:03d}"
        fields: dict[str, Any] = {"product_id": name, "op": "upsert", "updated_at": "2026-01-05T00:00:00Z"}
        fields |= {"category": refreshing.CATEGORIES[number % 2], "colour": "red", "split": "test"}
        fields |= {"photos": [f"{name}-0-0.png", f"{name}-0-1.png"], "title": f"Product {number}", "price": number}
        lines.append(json.dumps(fields | {"street_photos": [f"{name}-0-2.png"] * (number % 4 == 0)}))
    (folder / "inbox").mkdir()
    (folder / "inbox" / "0001.jsonl").write_text("\n".join(lines) + "\n")
    refreshing.refresh(folder)
    os.utime(folder / "reports" / "raw_images.json", (0, 0))  # long ago: nothing waits for DVC
    return folder


def line(shop: Path) -> Line:
    """Return where the shop's changes go."""
    with refreshing.within(shop):
        return Line.of(runner.read_params())


@contextlib.contextmanager
def writing(shop: Path, **settings: Any) -> Iterator[tuple[httpx.Client, Client]]:
    """Serve from a thread; lend a client, and one of ours, both with a key."""
    names = [name for name, _ in keys.names(shop / "data")]
    key = keys.add(f"test-{len(names)}", shop / "data")
    with served(shop / "data", **({"line": line(shop), "watch_s": 0.05, "file_s": 0.1} | settings)) as http:
        http.headers["Authorization"] = f"Bearer {key}"
        with Client(str(http.base_url), key=key) as client:
            yield http, client


def picture(shop: Path, product: str, at: int) -> bytes:
    """Draw a photo of a product, of any name."""
    place = shop / "drawn" / f"{product}-{at}.png"
    refreshing.draw(place, product, at)
    return place.read_bytes()


def until(seen: Any, seconds: float = 20) -> None:
    """Wait until something is so."""
    deadline_s = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline_s, "it never came to be so"
        time.sleep(0.02)


def published_vectors(shop: Path) -> dict[str, dict[str, torch.Tensor]]:
    """Return product -> crop -> vector of the shop photos of the version that is served."""
    with catalog.open_current(shop / "data") as version:
        shown = read_vectors(version.folder).of(side="shop")
    found: dict[str, dict[str, torch.Tensor]] = {}
    for product, crop, vector in zip(shown.rows["product_id"], shown.rows["crop_id"], shown.matrix, strict=True):
        found.setdefault(product, {})[crop] = vector
    return found


def nearest(vector: torch.Tensor, products: dict[str, list[torch.Tensor]]) -> list[tuple[str, float]]:
    """Rank products by the distance of their nearest photo, in plain arithmetic."""
    asked = vector.double().numpy()
    ranked = [
        (min(float(np.square(asked - one.double().numpy()).sum()) for one in vectors), name)
        for name, vectors in products.items()
    ]
    return [(name, distance) for distance, name in sorted(ranked)]
