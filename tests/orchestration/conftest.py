"""The toy project, and the servers on it: one pair of them for all tests, and one run made."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.orchestration.running import UI, Toy, make_toy, running_ui


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return make_toy(tmp_path)


@pytest.fixture(scope="session")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UI]:
    with running_ui(make_toy(tmp_path_factory.mktemp("toy"))) as ui:
        assert ui.ended(ui.launch()) == "SUCCESS"
        yield ui
