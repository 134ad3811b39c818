"""The service over a published shop that stays as it is, and a client of it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serving.app.running import served, whole


@pytest.fixture(scope="package")
def place(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop after everything a version may have was published; it stays as it is."""
    return whole(published, tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="package")
def client(place: Path) -> Iterator[httpx.Client]:
    with served(place / "data") as client:
        yield client
