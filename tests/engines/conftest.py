"""Three nodes of a Ray cluster, and a shop that one process has worked on."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import refreshing
from tests.engines import nodes
from tests.engines.nodes import Nodes
from visnet.engines import cluster


@pytest.fixture(scope="package")
def three() -> Iterator[Nodes]:
    """Three nodes with a CPU each; tests that kill one start another."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder, nodes.cluster(Path(folder), 3) as started:
        yield started


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop of 675 crops, embedded and searched by one process."""
    folder = refreshing.make(tmp_path_factory.mktemp("local") / "shop", refreshing.stock(300))
    refreshing.refresh(folder, "raw_images", "crops", "catalog_embeddings", "knn_results")
    return folder


@pytest.fixture(scope="module")
def connected(three: Nodes) -> Iterator[cluster.Cluster]:
    with cluster.connected() as found:
        yield found
