"""A published shop with calibration and a table of products, and the service over it, in a thread of this process."""

import contextlib
import io
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from tests.refreshing import refresh
from tests.serving.test_calibrated_hits import put_calibration
from visnet.serving.app.server import application
from visnet.serving.app.settings import Settings
from visnet.storage.table import Table


def put_catalog(shop: Path) -> None:
    """Leave a table of products where a feed's is, with what the API must leave out of it."""
    rows = [
        ("p000", "upsert", "A red bag", 29.5, '{"material": "canvas", "washable": true, "empty": ""}', "red"),
        ("p001", "upsert", "", 20.0, "", "red"),
        ("p003", "upsert", "", None, '{"material": "felt"}', "red"),
        *((f"p{at:03d}", "upsert", "", float(at), '{"material": "straw"}', "red") for at in range(10, 16)),
    ]
    names = ["product_id", "op", "title", "price", "attributes", "colour"]
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    hashes = {name: [f"{row[0]} {row[2]}" for row in rows] for name in ("source", "content")}
    Table(shop / "data/raw_images/catalog.lance", "product_id").put(pa.table(columns | hashes))


def publish_whole(shop: Path) -> None:
    """Publish all that a version may have."""
    put_calibration(shop)
    put_catalog(shop)
    refresh(shop, "publish")


def whole(published: Path, folder: Path) -> Path:
    """Copy a published shop, and publish all that a version may have."""
    shop = Path(shutil.copytree(published, folder / "shop", symlinks=True))
    publish_whole(shop)
    return shop


def mounted(app: Any, path: str) -> Starlette:
    """Mount an application as the documentation says."""

    @contextlib.asynccontextmanager
    async def lifespan(outer: Starlette) -> AsyncIterator[None]:
        async with app.router.lifespan_context(app):
            yield

    return Starlette(routes=[Mount(path, app)], lifespan=lifespan)


@contextlib.contextmanager
def served(data: Path, *, below: str = "", **settings: Any) -> Iterator[httpx.Client]:
    """Serve from a thread; lend a client. below: the path at which another application mounts the service."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        app: ASGIApp = application(Settings(data=data, **settings))
        app = mounted(app, below) if below else app
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, args=([listening],), name="service")
        thread.start()
        try:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}{below}"
            with httpx.Client(base_url=url, timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


def photo_of(shop: Path, name: str) -> bytes:
    """Read one of the shop's photos, such as p003-0-1: of the product p003, its look 0, its photo 1."""
    return (shop / "images" / f"{name}.png").read_bytes()


COUNTED = {"facets": "category,colour"}


def search(client: httpx.Client, *photos: bytes, **fields: Any) -> httpx.Response:
    """Ask with photos, or with fields alone, and have categories and colours counted if nothing else."""
    fields = COUNTED | fields
    return client.post("/v1/search", files=[("photo", ("photo", data)) for data in photos] or None, data=fields)


def jpeg(image: Image.Image, **options: Any) -> bytes:
    """Encode as JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()
