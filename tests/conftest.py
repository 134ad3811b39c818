"""Fixtures that several test files share."""

import contextlib
import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests import workspace
from visnet.pipeline import collector

TOGETHER = (
    "tests/orchestration/test_browser.py",
    "tests/orchestration/test_guard.py",
    "tests/orchestration/test_ui.py",
    "tests/orchestration/test_ui_terminate.py",
)  # ask the same servers, in this order
CLUSTER = "tests/engines/"  # one Ray cluster of three nodes, whose start costs as much as many a test
# Long files of tests that share nothing but `built`: whichever process of `make test` is free takes the next of them.
APART = (
    "tests/commands/test_compact.py",
    "tests/test_errors.py",
    "tests/test_pipeline.py",
)
# What takes longest begins first, so that no process works on alone at the end.
FIRST = (
    *TOGETHER,
    CLUSTER,
    "tests/orchestration/test_day.py",
    "tests/test_kill.py",
    "tests/zoo/test_training.py",
    "tests/runs/test_experiments.py",
    "tests/training/test_resume.py",
    "tests/kernels/test_nearest_aot.py",
    *APART,
)

hypothesis.settings.register_profile("untimed", deadline=None)  # machines are shared: no test is one of speed
hypothesis.settings.load_profile("untimed")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what is to run in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else every process that a test starts ignores it, too


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Have the collector of cycles pass over what all test files import, a million objects, then and afterwards."""
    with collector.importing():
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the long files come first, the others as they are."""
    items.sort(key=lambda item: next((at for at, file in enumerate(FIRST) if item.nodeid.startswith(file)), len(FIRST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process a file at a time, but for `APART`, `CLUSTER` and `TOGETHER`."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith(TOGETHER):
                return "servers"
            if nodeid.startswith(CLUSTER):
                return "cluster"
            return nodeid if nodeid.startswith(APART) else nodeid.partition("::")[0]

    config.option.loadscopereorder = False  # by how many tests a file has
    return ByFile(config, log)


@contextlib.contextmanager
def unchanged(shop: Path) -> Iterator[Path]:
    """Lend a folder that many tests share; fail if a test left a file in it, took one away or made it longer."""

    def files() -> dict[str, int]:
        found = (path for path in shop.rglob("*") if path.is_file() and not path.is_symlink())
        passing = {".git", "__pycache__", ".dvc", ".mlflow"}  # a copy's MLflow knows where its experiment was made
        return {
            name.as_posix(): path.stat().st_size
            for path in found
            if not passing & set((name := path.relative_to(shop)).parts) and path.suffix != ".lock"
        }

    before = files()
    yield shop
    differing = sorted(dict(before.items() ^ files().items()))
    assert not differing, f"a test changed what others share, {shop}: {', '.join(differing[:5])}"


@contextlib.contextmanager
def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Iterator[Path]:
    """Lend a shop that stays as it is: of several pytest processes one makes it, and each has a copy of its own."""
    mine = factory.getbasetemp()
    shared = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine
    folder, whole = shared / "made" / name / "shop", shared / "made" / name / "whole"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name("lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of one that failed
            make(folder)
            whole.touch()
    with unchanged(Path(shutil.copytree(folder, mine / name / "shop", symlinks=True))) as shop:
        yield shop


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small shop after one `dvc repro`, committed. Tests that change it copy it first."""
    from tests import forked  # torch and Lance, which not every test needs

    def make(folder: Path) -> None:
        workspace.make(folder)
        forked.dvc(folder, "repro")
        workspace.shell(folder, "git", "add", "-A")
        workspace.shell(folder, "git", "commit", "-qm", "Built")

    with made_once(tmp_path_factory, "built", make) as shop:
        yield shop


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A shop of 24 products that was published once."""
    from tests import refreshing  # torch and Lance, which not every test needs

    def make(folder: Path) -> None:
        refreshing.refresh(refreshing.make(folder, refreshing.stock(24)))

    with made_once(tmp_path_factory, "published", make) as shop:
        yield shop


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Any]:
    """An S3 server on loopback."""
    from tests.object_store import ObjectStore  # boto3, which not every test needs

    server = ObjectStore()
    yield server
    server.remove()


@pytest.fixture
def s3(s3_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The S3 server, that the environment names; a test that kills it starts it again."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def shop(published: Path, tmp_path: Path) -> Path:
    """A copy of the published shop, to be changed."""
    return Path(shutil.copytree(published, tmp_path / "shop", symlinks=True))


@pytest.fixture(scope="session")
def learnable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tiny shop with its triplets, and a tracker that was told nothing."""
    from tests import learning

    with made_once(tmp_path_factory, "learnable", learning.make) as shop:
        yield shop


@pytest.fixture(scope="session")
def learnt(learnable: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same after a training and its evaluation."""
    from tests import learning

    def make(folder: Path) -> None:
        shop = learning.copy(learnable, folder)
        learning.run(shop, "trained_model")
        learning.evaluate(shop)

    with made_once(tmp_path_factory, "learnt", make) as shop:
        yield shop


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Have torch use one thread: for small networks, more cost more than they save, and sums are the same anywhere."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
