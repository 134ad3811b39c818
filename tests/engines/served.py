"""The nearest products of stored photos, over HTTP: a replica of Ray Serve whose searcher asks shards."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from visnet.engines.shards import Shards
from visnet.serving.searcher import Searcher
from visnet.serving.shop_gallery import ShopGallery

K = 20


def searcher(data: Path, shards: Shards | None = None) -> Searcher:
    return Searcher(data / "trained_model", ShopGallery.read(data / "catalog_embeddings"), shards=shards)


def answers(found: Searcher, rows: np.ndarray) -> bytes:
    return b"".join(one.row.tobytes() + one.sq_distance.tobytes() for one in found.rank(found.stored(rows), K))


def app(data: Path, count: int) -> Starlette:
    over_shards = searcher(data, Shards(count))

    def nearest(body: bytes) -> Response:
        return Response(answers(over_shards, np.array(body.split(), int)), headers={"pid": f"{os.getpid()}"})

    async def answer(request: Request) -> Response:
        return nearest(await request.body())

    return Starlette(routes=[Route("/nearest", answer, methods=["POST"])])


def deployment(data: Path, count: int) -> Any:
    """Return the application that `serve.run` takes; Serve calls a plain function to make the app, but no partial."""
    from ray import serve

    class Search:
        pass

    return serve.deployment(serve.ingress(lambda: app(data, count))(Search)).bind()
