"""Triplets of four products; pages that are judged on, a browser that opens one, and a mark as a page sends it."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import uvicorn

from tests.chromium import CHROMIUM, FLAGS
from visnet.review import triplets
from visnet.review.server import Judged, app
from visnet.review.shown import choose

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
PRODUCTS = ["a", "b", "c", "d"]
KINDS = ["product/in", "product/out", "colour/in"]


def crop(product: str, photo: int) -> str:
    """Name a crop as the line does, with what is special in an address."""
    return f"{product}&{photo}#|{product}/é|0"


TRIPLETS = [  # query, positive, negative, kind; the last one twice
    *[(crop("a", 0), crop("a", i), crop("b", j), "product/in") for i in (1, 2) for j in (0, 1, 2)],
    *[(crop("b", 0), crop("b", i), crop("c", i), "product/out") for i in (1, 2)],
    (crop("b", 0), crop("b", 2), crop("c", 2), "product/out"),
]


def judged(data: Path, path: Path) -> Judged:
    """Return the triplets as their page shows them."""
    return triplets.judged(choose(data, "train", 100), path)


@contextlib.contextmanager
def opened(url: str, width: int, height: int) -> Iterator[tuple["BrowserContext", "Page"]]:
    """Open a page in a browser; lend its window and the page, on which there must be no error to the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        window = browser.new_context(viewport={"width": width, "height": height})
        page, errors = window.new_page(), list[str]()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.goto(url)
        yield window, page
        assert not errors
        browser.close()


@contextlib.contextmanager
def served(judged: Judged) -> Iterator[str]:
    """Serve a page from a thread; give its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(uvicorn.Config(app(judged, "127.0.0.1"), log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listening],), name="review")
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def mark(client: httpx.Client, what: str, a: str, b: str = "", on: object = True) -> httpx.Response:
    return client.post("/marks", json={"what": what, "a": a, "b": b, "on": on})
