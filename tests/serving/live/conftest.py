"""A published shop whose line reads a feed."""

import shutil
from pathlib import Path

import pytest

from tests.serving.live import fed


@pytest.fixture(scope="session")
def fed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It stays as it is."""
    return fed.make(tmp_path_factory.mktemp("fed") / "shop")


@pytest.fixture
def shop(fed_once: Path, tmp_path: Path) -> Path:
    """A copy, to be changed."""
    return Path(shutil.copytree(fed_once, tmp_path / "shop", symlinks=True))
