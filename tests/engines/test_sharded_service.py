"""What the service asks of a version, answered by shards on three nodes: equal to the bit to one process."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from kernels.nearest import pack_bits
from tests.engines import served
from visnet.engines import cluster
from visnet.engines.shards import Shards
from visnet.serving.searcher import Searcher
from visnet.serving.shop_gallery import ShopGallery

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def shards(connected: cluster.Cluster) -> Iterator[Shards]:
    made = Shards(3)
    yield made
    made.close()


def test_a_version_in_shards_answers_as_one_process_does(shop: Path, shards: Shards) -> None:
    trained, gallery = shop / "data/trained_model", ShopGallery.read(shop / "data/catalog_embeddings")
    alone, together = Searcher(trained, gallery), Searcher(trained, gallery, shards=shards)
    count = len(gallery.said["crop_id"])
    assert count > 300
    rng = np.random.default_rng(5)
    rows = rng.choice(count, 9, replace=False)
    assert torch.equal(together.stored(rows), alone.stored(rows))
    asked = alone.stored(rows) + torch.from_numpy(rng.normal(0, 0.05, (9, alone.stored(rows).shape[1]))).float()
    asked[0] = alone.stored(rows)[0]  # ties with itself at distance 0
    half = pack_bits(torch.from_numpy(rng.random(count) < 0.5))
    own = rows.tolist()
    for k, category, valid, but in [
        (1, None, None, None),
        (20, None, None, own),
        (7, alone.categories[0], None, own),
        (7, alone.categories[-1], half, None),
        (count + 5, None, half, [-1, *own[1:]]),
    ]:
        for collapse in (False, True):
            found, wanted = (one.rank(asked, k, category, valid, but, collapse=collapse) for one in (together, alone))
            for ours, theirs in zip(found, wanted, strict=True):
                assert np.array_equal(ours.row, theirs.row)
                assert ours.sq_distance.tobytes() == theirs.sq_distance.tobytes()
    for ours, theirs in zip(together.photos(asked[3], 30, half), alone.photos(asked[3], 30, half), strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_ray_serve_answers_over_shards_as_one_process_does(shop: Path, connected: cluster.Cluster) -> None:
    serve = pytest.importorskip("ray.serve", reason="pip install 'visnet[ray]'", exc_type=ImportError)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    alone = served.searcher(shop / "data")
    rows = np.random.default_rng(7).choice(len(alone.said["crop_id"]), 40, replace=False)
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
    try:
        serve.run(served.deployment(shop / "data", 3), route_prefix="/")
        address, body = f"http://127.0.0.1:{port}/nearest", " ".join(map(str, rows))
        with httpx.Client(timeout=60, trust_env=False) as client:
            found = [client.post(address, content=body) for _ in range(2)]
        assert [one.status_code for one in found] == [200, 200]
        assert found[0].headers["pid"] != f"{os.getpid()}"
        assert found[0].content == found[1].content == served.answers(alone, rows)
    finally:
        serve.shutdown()
