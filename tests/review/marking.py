"""Triplets of four products, the page that shows them, and a mark as the page sends it."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import uvicorn

from visnet.review import triplets
from visnet.review.server import app
from visnet.review.shown import choose

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


@contextlib.contextmanager
def served(data: Path, path: Path) -> Iterator[str]:
    """Serve the page from a thread; give its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(
            uvicorn.Config(app(triplets.judged(choose(data, "train", 100), path), "127.0.0.1"), log_level="warning")
        )
        thread = threading.Thread(target=server.run, args=([listening],), name="review")
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def mark(client: httpx.Client, what: str, a: str, b: str = "", on: object = True) -> httpx.Response:
    return client.post("/marks", json={"what": what, "a": a, "b": b, "on": on})
