"""One training by processes that torchrun has started on two hosts: here two of its agents, which share a folder."""

import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from torch.distributed import TCPStore, run

from tests import learning
from tests.apart import Done, Work, within
from tests.tracking.test_runs import runs
from tests.workspace import report
from visnet.storage import locks

COMMAND = "import sys; from visnet.__main__ import main; sys.exit(main())"
CURVE = "reports/trained_model.building/trained_model.csv"


@dataclass(frozen=True)
class Agent:
    """What `torchrun … -m visnet run trained_model` does in a folder, in the process that calls it."""

    folder: Path
    port: int

    def __call__(self) -> None:
        os.chdir(self.folder)
        endpoint = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{self.port}"]
        shape = ["--nnodes", "2", "--nproc-per-node", "1"]
        run.main([*shape, *endpoint, "-m", "visnet", "run", "trained_model"])


@dataclass(frozen=True)
class Placed:
    """Gives a process the environment of torchrun's, as one of two hosts with a process each."""

    rank: int
    port: int
    ranks: int = 2

    def __call__(self) -> None:
        told = {
            "RANK": self.rank, "LOCAL_RANK": 0, "GROUP_RANK": self.rank,
            "WORLD_SIZE": self.ranks, "LOCAL_WORLD_SIZE": 1, "GROUP_WORLD_SIZE": self.ranks,
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": self.port,
            "TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_MAX_RESTARTS": 0, "TORCHELASTIC_USE_AGENT_STORE": True,
        }  # fmt: skip
        os.environ.update({name: str(value) for name, value in told.items()})


def launch(shop: Path) -> list[Work]:
    """Start an agent for each of two hosts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [Work(shop, fault=Agent(shop, port)) for _ in range(2)]


def side_by_side(first: Path, second: Path, command: str = "run trained_model", **others: int) -> list[Done]:
    """Run a command as process 0 in one folder and as process 1 in another; an agent's store is this process's."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    work = [
        Work(first, command, fault=Placed(0, store.port), **others),
        Work(second, command, fault=Placed(1, store.port)),
    ]
    return [one.end(kill_after_s=90) for one in work]


def refusals(done: list[Done]) -> list[str]:
    """Return the line with which each has refused; any other exit fails."""
    assert [one.returncode for one in done] == [2, 2], "\n=====\n".join(one.stderr for one in done)
    lines = [one.stderr.strip().splitlines()[-1] for one in done]
    assert all(line.startswith("visnet ") for line in lines)
    return [line.partition(": ")[2] for line in lines]


@pytest.fixture(scope="module")
def shop(learnable: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop whose training is for two devices."""
    shop = learning.copy(learnable, tmp_path_factory.mktemp("hosts") / "shop")
    learning.setting(shop, "epochs = 2", "epochs = 5\npatience = 0\ndevices = 2")
    return shop


@pytest.fixture(scope="module")
def here() -> Iterator[None]:
    """What the processes that others start are to find: this code, and one thread each."""
    with pytest.MonkeyPatch.context() as set_to:
        set_to.setenv("OMP_NUM_THREADS", "1")
        set_to.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        yield


@pytest.fixture(scope="module")
def on_one_host(shop: Path, here: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop after a training by two processes, the second of which Lightning has started."""
    alone = learning.copy(shop, tmp_path_factory.mktemp("alone") / "shop")
    (alone / "visnet").write_text(COMMAND)  # Lightning runs again what `sys.argv` says
    done = Work(alone, "run trained_model").end(kill_after_s=120)
    assert done.returncode == 0, done
    return alone


@pytest.fixture(scope="module")
def on_two_hosts(shop: Path, here: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop after a training by two agents, one of which was told to stop in the midst, and by who went on."""
    both = learning.copy(shop, tmp_path_factory.mktemp("both") / "shop")
    agents, deadline_s = launch(both), time.monotonic() + 120
    while not (both / CURVE).exists() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    agents[1].signal(signal.SIGTERM)
    stopped = [agent.end(kill_after_s=60) for agent in agents]
    assert [done.returncode for done in stopped] == [1, 1], stopped
    for done in stopped:
        assert "visnet run: interrupted; run it again to go on\n" in done.stderr
    assert not (both / "data/trained_model").exists()
    first, second = side_by_side(both, both)
    assert (first.returncode, second.returncode, second.stdout, second.stderr) == (0, 0, "", ""), (first, second)
    assert re.search(r"^training goes on after [1-4] epochs and 0 steps$", first.stderr, re.MULTILINE)
    return both


def test_two_hosts_learn_to_the_bit_what_one_host_does(on_one_host: Path, on_two_hosts: Path) -> None:
    assert learning.model(on_two_hosts) == learning.model(on_one_host)
    one, two = (report(where, "trained_model") for where in (on_one_host, on_two_hosts))
    assert two["resumed_from_epoch"] in range(1, 5)
    timed = {name for name in one if name.endswith(("_s", "_mib"))} | {"resumed_from_epoch"}
    same = one.keys() - timed - {name for name in one if name.startswith("mlflow")}
    assert {name: two[name] for name in same} == {name: one[name] for name in same}


def test_a_training_on_two_hosts_is_one_run(on_two_hosts: Path) -> None:
    (one,) = runs(on_two_hosts)
    assert one.info.status == "FINISHED"
    assert one.info.run_id == report(on_two_hosts, "trained_model")["mlflow_run_id"]


def test_where_nothing_is_trained_the_others_end_well(on_two_hosts: Path) -> None:
    before = learning.model(on_two_hosts)
    learning.setting(on_two_hosts, "devices = 2", "devices = 2\nversion = 1")
    done = side_by_side(on_two_hosts, on_two_hosts)
    assert [(one.returncode, one.stdout) for one in done] == [(0, ""), (0, "")], done
    assert done[1].stderr == ""
    assert learning.model(on_two_hosts) == before


def test_one_process_alone_trains_as_without_torchrun(shop: Path, tmp_path: Path) -> None:
    alone = learning.copy(shop, tmp_path / "shop")
    learning.setting(alone, "epochs = 5\npatience = 0\ndevices = 2", "epochs = 1")
    done = Work(alone, "run trained_model", fault=Placed(0, 1, ranks=1)).end(kill_after_s=60)  # it opens no port
    assert (done.returncode, report(alone, "trained_model")["epochs"]) == (0, 1), done


def test_what_one_process_refuses_ends_the_others_with_the_same_words(shop: Path) -> None:
    with within(shop), locks.held(Path("data/trained_model")):
        mine, theirs = refusals(side_by_side(shop, shop))
    assert mine.startswith("data/trained_model is in use by another process")
    assert theirs == f"process 0 on {socket.gethostname()}: {mine}"


def test_a_failure_of_the_first_in_the_midst_ends_the_others(shop: Path, tmp_path: Path) -> None:
    full = learning.copy(shop, tmp_path / "shop")
    mine, theirs = refusals(side_by_side(full, full, file_bytes=1_000_000))  # less than the weights
    assert "File too large" in mine
    assert theirs == f"process 0 on {socket.gethostname()}: {mine}"


def other(shop: Path, folder: Path, what: str) -> Path:
    """Copy the shop as a host would have it that shares no folder, or not all of it."""
    second = learning.copy(shop, folder / "second")
    if what == "parameters":
        learning.setting(second, "epochs = 5", "epochs = 6")
    if what == "triplets":
        (second / "data/trained_model.building").mkdir()
        learning.setting(second, "test = 8", "test = 8\nseed = 9")
        learning.run(second, "triplets")
    if what == "inputs":
        shutil.rmtree(second / "data/crops")
    return second


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("parameters", "has other epochs than process 0 on"),
        ("triplets", "has other data or settings than process 0 on"),
        ("inputs", "data/crops is missing"),
        ("folder", "is not here, though process 0 has made it"),
    ],
)
def test_hosts_that_see_other_files_are_refused(shop: Path, tmp_path: Path, what: str, why: str) -> None:
    first = learning.copy(shop, tmp_path / "first")
    lines = refusals(side_by_side(first, other(shop, tmp_path, what)))
    assert all(why in line for line in lines)
    assert any(line.startswith(f"process 1 on {socket.gethostname()}") for line in lines)
    assert not (first / "data/trained_model").exists()


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("run triplets", "triplets is made by one process, and torchrun has started 2; run it without torchrun"),
        ("experiment mildnet_small", "an experiment is run by one process, and torchrun has started 2"),
    ],
)
def test_what_is_made_by_one_process_is_refused(shop: Path, command: str, why: str) -> None:
    lines = refusals(side_by_side(shop, shop, command))
    assert [line.endswith(why) for line in lines] == [True, True]


def test_as_many_processes_are_wanted_as_devices(shop: Path, tmp_path: Path) -> None:
    few = learning.copy(shop, tmp_path / "shop")
    learning.setting(few, "devices = 2", "devices = 3")
    for line in refusals(side_by_side(few, few)):
        assert line.endswith(
            "params.toml: [trained_model] devices = 3, and torchrun has started 2 processes on 2 hosts; "
            "set devices = 2, which counts those of all hosts, or launch 3"
        )
