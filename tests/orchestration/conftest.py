"""The toy project as it is and as a line, and the servers on it: one pair of them for all tests, and one run made."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.conftest import TOGETHER
from tests.orchestration.loaded import forget, load
from tests.orchestration.running import UI, Toy, make_toy, running_ui


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return make_toy(tmp_path)


RUNNING: list[tuple[UI, contextlib.ExitStack]] = []  # the servers while they are up, and what stops them


@pytest.fixture
def ui(tmp_path_factory: pytest.TempPathFactory) -> UI:
    if not RUNNING:
        with contextlib.ExitStack() as servers:
            ui = servers.enter_context(running_ui(make_toy(tmp_path_factory.mktemp("toy"))))
            assert ui.ended(ui.launch("everything")) == "SUCCESS"
            RUNNING.append((ui, servers.pop_all()))
    return RUNNING[0][0]


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Stop the servers after the last test that asks them: idle, they take a twentieth of a processor."""
    if nextitem is None or not nextitem.nodeid.startswith(TOGETHER):
        while RUNNING:
            RUNNING.pop()[1].close()


@pytest.fixture
def line(tmp_path: Path) -> Toy:
    """The toy with its last stage called as the line's is, so that the same promises hold for it."""
    toy = make_toy(tmp_path)
    for name in ("dvc.yaml", "params.toml", "make.py"):
        file = toy.root / name
        file.write_text(file.read_text().replace("answers", "publish"))
    return toy


@pytest.fixture
def defs(line: Toy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], dg.Definitions]]:
    """The project's own definitions, read again in the toy's folder as a person's Dagster does after an edit."""
    monkeypatch.chdir(line.root)
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    monkeypatch.setenv("PATH", programs)

    yield load
    forget()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's memory, in files: a schedule opens it anew at every tick."""
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        yield instance
