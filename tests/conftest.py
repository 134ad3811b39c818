"""Fixtures that several test files share."""

from pathlib import Path

import pytest

from tests import workspace


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop after one `dvc repro`, committed. Tests that change it copy it first."""
    folder = workspace.make(tmp_path_factory.mktemp("built") / "shop")
    workspace.shell(folder, "dvc", "repro")
    workspace.shell(folder, "git", "add", "-A")
    workspace.shell(folder, "git", "commit", "-qm", "Built")
    return folder
