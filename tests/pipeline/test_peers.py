"""What processes of a training on several hosts tell each other, and that none waits for one that is gone."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from torch.distributed import PrefixStore, TCPStore

from visnet.pipeline import peers as module
from visnet.pipeline.launch import Launch
from visnet.pipeline.peers import Peers

ENVIRON = {
    "TORCHELASTIC_RUN_ID": "none",
    "TORCHELASTIC_MAX_RESTARTS": "0",
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_WORLD_SIZE": "2",
    "GROUP_WORLD_SIZE": "2",
}


def test_a_launch_is_what_torchrun_has_set() -> None:
    assert Launch.found(ENVIRON) == Launch(rank=3, ranks=4, per_host=2, hosts=2)
    Launch(rank=3, ranks=4, per_host=2, hosts=2).check(4)


@pytest.mark.parametrize("missing", [[*ENVIRON], ["TORCHELASTIC_RUN_ID"]], ids=["nothing", "of another launcher"])
def test_no_other_launcher_is_taken_for_torchrun(missing: list[str]) -> None:
    assert Launch.found({name: value for name, value in ENVIRON.items() if name not in missing}) is None


@pytest.mark.parametrize(
    ("launch", "devices", "why"),
    [
        (Launch(0, 4, 2, 2), 1, "devices = 1, and torchrun has started 4 processes on 2 hosts; set devices = 4"),
        (Launch(0, 1, 1, 1), 2, "devices = 2, and torchrun has started 1 process on 1 host; set devices = 1"),
        (Launch(0, 3, 2, 2), 3, "3 processes on 2 hosts, 2 of them on this one; --nproc-per-node must be the same"),
        (Launch(0, 2, 1, 2, restarts=3), 2, "--max-restarts 3: allowed is 0"),
    ],
)
def test_what_cannot_train_together_is_refused_in_one_line(launch: Launch, devices: int, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        launch.check(devices)
    assert "\n" not in str(caught.value)


Join = Callable[..., Peers]


@pytest.fixture
def join(monkeypatch: pytest.MonkeyPatch) -> Iterator[Join]:
    """Let processes of two join each other, each with a connection of its own; what would end one is noted in it."""
    monkeypatch.setattr(module, "BEAT_S", 0.1)
    monkeypatch.setattr(module, "LINGER_S", 0.1)
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    made: list[Peers] = []

    def joined(rank: int, **others: object) -> Peers:
        own = TCPStore("127.0.0.1", store.port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=5))
        made.append(Peers(rank, 2, PrefixStore("visnet", own), **others))  # type: ignore[arg-type]
        return made[-1]

    yield joined
    for peers in made:
        peers._closed.set()


def wait_for(what: Callable[[], object], seconds: float = 10.0) -> object:
    deadline_s = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return found


def test_a_process_that_gives_no_sign_of_life_is_lost_and_who_waits_for_it_ends(join: Join) -> None:
    ended: list[int] = []
    first = join(0, silent_s=1.0, grace_s=0.1, end=ended.append)
    second = join(1)
    second.tell("here")
    assert first.told(1, "here")[0] == "here"
    time.sleep(2)
    assert not first.lost  # it lives
    second._closed.set()
    with pytest.raises(ValueError, match=r"process 1 on .* has given no sign of life for 1 s"):
        first.told(1, "ready")
    assert wait_for(lambda: ended) == [1]


def test_a_process_that_never_joins_is_lost_in_the_end(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "JOINING_S", 1.0)
    first = join(0, silent_s=0.2, end=print)
    time.sleep(0.5)
    assert not first.lost
    assert str(wait_for(lambda: first.lost)).startswith(
        "process 1 on an unknown host has given no sign of life for 1 s"
    )


def test_once_it_is_trained_the_first_is_lost_with_nobody(join: Join) -> None:
    ended: list[int] = []
    first, second = join(0, silent_s=0.3, grace_s=0.1, end=ended.append), join(1)
    first.trained()
    second._closed.set()
    time.sleep(1)
    assert (first.lost, ended) == ("", [])


def test_what_has_ended_with_a_reason_is_lost_and_what_has_ended_well_is_not(join: Join) -> None:
    first, second = join(0), join(1)
    with pytest.raises(ValueError, match="no such weights"), second.ending():
        raise ValueError("no such weights")
    assert wait_for(lambda: first.lost).endswith(": no such weights")  # type: ignore[attr-defined]
    third = join(1)
    with first.ending():
        pass
    time.sleep(0.5)
    assert not third.lost
    assert third.told(0, "begin") == ("ended", {"why": ""})


def test_an_interrupt_interrupts_the_other_too(join: Join) -> None:
    first, second = join(0), join(1)
    with pytest.raises(KeyboardInterrupt), second.ending():
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        first.told(1, "here")
    with pytest.raises(KeyboardInterrupt), first.ending():
        raise RuntimeError("gloo: Connection closed by peer")


def test_what_waits_in_a_collective_operation_for_one_that_was_interrupted_ends_as_interrupted(join: Join) -> None:
    ended: list[int] = []
    join(0, grace_s=0.1, end=ended.append)
    with pytest.raises(KeyboardInterrupt), join(1).ending():
        raise KeyboardInterrupt
    assert wait_for(lambda: ended) == [130]


def test_an_error_of_a_collective_operation_is_told_as_the_end_of_another(join: Join) -> None:
    first, _ = join(0), join(1)
    with pytest.raises(ValueError, match=r"is gone, or out of reach .*run it again"), first.ending():
        raise RuntimeError("[gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:27287")
    with pytest.raises(RuntimeError, match="of its own"), first.ending():
        raise RuntimeError("of its own")


def test_without_the_store_a_process_ends(join: Join) -> None:
    ended: list[int] = []
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    own = TCPStore("127.0.0.1", store.port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=2))
    alone = Peers(0, 2, own, grace_s=0.1, end=ended.append)
    del store
    assert "store does not answer" in str(wait_for(lambda: alone.lost))
    assert wait_for(lambda: ended) == [1]


def test_once_it_is_trained_a_process_needs_no_store(join: Join) -> None:
    ended: list[int] = []
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    own = TCPStore("127.0.0.1", store.port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=2))
    alone = Peers(0, 2, own, grace_s=0.1, end=ended.append)
    alone.trained()
    del store
    time.sleep(1)
    with alone.ending():
        pass
    assert (alone.lost, ended) == ("", [])
