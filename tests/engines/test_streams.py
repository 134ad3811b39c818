"""Items that processes make as they come: each once, whatever is lost, and errors as they were raised."""

import collections
from pathlib import Path

import pytest

from tests.engines import work
from visnet.engines import cluster
from visnet.engines.streams import FRUITLESS, streamed


def test_all_items_come_once_though_processes_die(connected: cluster.Cluster, tmp_path: Path) -> None:
    shares = [
        (work.Counting(tmp_path / name), [f"{name}{i}" for i in range(count)])
        for name, count in (("a", 600), ("b", 3), ("none", 0))
    ]
    dying = (work.Counting(tmp_path / "c", dies_at="c400"), [f"c{i}" for i in range(600)])
    made = list(streamed([*shares, dying]))
    assert collections.Counter(made) == collections.Counter(key for _, keys in [*shares, dying] for key in keys)
    asked = collections.Counter((tmp_path / "c").read_text(encoding="utf-8").split())
    assert asked["c0"] == 1  # it had been given before its process was lost
    assert asked["c400"] == 2


def test_what_kills_one_process_after_the_other_is_said(connected: cluster.Cluster, tmp_path: Path) -> None:
    work_ = work.Counting(tmp_path / "a", dies_at="a0", always=True)
    with pytest.raises(RuntimeError, match=f"^lost {FRUITLESS} processes of the cluster in turn: ") as raised:
        list(streamed([(work_, ["a0", "a1"])]))
    assert "\n" not in str(raised.value)
    assert (tmp_path / "a").read_text(encoding="utf-8").split() == ["a0"] * FRUITLESS


def test_an_error_is_raised_after_what_came_before_it(connected: cluster.Cluster, tmp_path: Path) -> None:
    made = []
    with pytest.raises(work.NotFound, match=r"^no c here$") as raised:
        made.extend(streamed([(work.Counting(tmp_path / "a", refuses="c"), ["a", "b", "c", "d"])]))
    assert type(raised.value) is work.NotFound
    with pytest.raises(RuntimeError, match=r"^Odd: a, b$"):
        list(streamed([(work.odd, ["a"])]))


def test_a_process_waits_for_whoever_takes(connected: cluster.Cluster, tmp_path: Path) -> None:
    made = streamed([(work.Counting(tmp_path / "a", size_bytes=4 << 20), [str(i) for i in range(100)])])
    next(made)
    begun = (tmp_path / "a").read_text(encoding="utf-8").split()
    made.close()
    assert len(begun) <= 5  # two that were given, two that were asked for meanwhile
