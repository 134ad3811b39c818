"""A person at the search page: the service of a small shop in a process, and what is done in the browser."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pyarrow as pa

from tests import refreshing
from tests.apart import Work
from tests.quality.verdicts import put_verdicts
from tests.serving.test_calibrated_hits import put_calibration
from visnet.storage.table import Table

if TYPE_CHECKING:
    from playwright.sync_api import Page

AREA = ".area[aria-pressed=true]"
PRODUCTS = 60  # two pages and a half
PHOTO = "p007-0-0.png"
DRAWN = (4.0, 6.0, 16.0, 20.0)  # a box, of the photo's 32 × 32 pixels

Open = Callable[..., "Page"]


def make(folder: Path) -> Path:
    """Publish a shop of `PRODUCTS` products, half of them hats, half of them bags; p000 to p009 are blue.

    They cost 0.5, 1.5, 2.5, …; every third is of felt, the first six of silk, the others of straw. The photos of p001
    may be close-ups, those of p002 are good, and of the others nothing is known. What hits mean is calibrated.
    """
    shop = refreshing.make(folder, refreshing.stock(PRODUCTS))
    stock = shop / "stock.csv"
    rows = [row.replace(",red,", ",blue,") if ",p00" in row else row for row in stock.read_text().splitlines(True)]
    stock.write_text("".join(rows))
    refreshing.refresh(shop, *refreshing.REFRESH[:-1])
    products = [f"p{number:03d}" for number in range(PRODUCTS)]
    materials = ["silk" if at < 6 else "straw" if at % 3 else "felt" for at in range(PRODUCTS)]
    columns = {"product_id": products, "price": [at + 0.5 for at in range(PRODUCTS)], "material": materials}
    hashes = {"source": products, "content": products}
    Table(shop / "data/raw_images/catalog.lance", "product_id").put(pa.table(columns | hashes))
    put_calibration(shop)
    put_verdicts(shop, {"p001": ("unsure", "close_up", 0.5), "p002": ("good", "", 0.25)})
    refreshing.refresh(shop, "publish")
    return shop


class Service:
    """The service of a shop, in a process that can be killed and started again at the same address."""

    def __init__(self, shop: Path) -> None:
        self.shop = shop
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self, *options: str) -> None:
        self._work = Work(self.shop, ["serve", "--port", str(self.port), *options])
        for _ in range(600):
            try:
                if httpx.get(f"{self.url}/readyz").is_success:
                    return
            except httpx.TransportError:
                assert self._work.alive, self._work.end().stderr
            time.sleep(0.05)
        raise AssertionError("the service is not ready after 30 s")

    def kill(self) -> None:
        self._work.end(kill_after_s=0)

    def photo(self, name: str = PHOTO) -> Path:
        return self.shop / "images" / name


def give(page: "Page", photo: Path, event: str = "drop") -> None:
    """Drop or paste a photo anywhere on the page."""
    make = """bytes => { const given = new DataTransfer();
        given.items.add(new File([new Uint8Array(bytes)], "photo.png", { type: "image/png" })); return given; }"""
    files = page.evaluate_handle(make, list(photo.read_bytes()))
    if event == "drop":
        page.dispatch_event("h1", "dragover", {"dataTransfer": files})
        page.dispatch_event("h1", "drop", {"dataTransfer": files})
    else:
        page.evaluate("data => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data }))", files)


def products(page: "Page") -> list[str]:
    """Wait for results, and list their products."""
    page.wait_for_selector("#answers .grid:not([aria-hidden]):not([aria-busy=true]) .card")
    return [str(title) for title in page.locator("#answers .card .title").all_text_contents()]


def searched(tab: Open, service: Service, **options: Any) -> "Page":
    page = tab(**options)
    give(page, service.photo())
    products(page)
    return page


def drag(page: "Page", touch: bool = False) -> None:
    """Draw the box `DRAWN`, by mouse or finger."""
    room = page.locator(".frame").bounding_box()
    assert room
    at = [(room["x"] + room["width"] * x / 32, room["y"] + room["height"] * y / 32) for x, y in (DRAWN[:2], DRAWN[2:])]
    if not touch:
        page.mouse.move(*at[0])
        page.mouse.down()
        page.mouse.move(*at[1], steps=4)
        page.mouse.up()
        return
    finger = page.context.new_cdp_session(page)
    for kind, points in (("touchStart", at[:1]), ("touchMove", at[1:]), ("touchEnd", [])):
        places = [{"x": x, "y": y} for x, y in points]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})


def used(page: "Page") -> list[float]:
    """Return the box that the search of the page's address used."""
    boxes = httpx.get(page.url.partition("?")[0].replace("/q/", "/v1/queries/")).json()["boxes"]
    (box,) = [one["box"] for one in boxes if one["used"]]
    return list(box)
