"""Keyed tables: only differences are written, digests speak of content alone, a kill loses nothing committed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import lance
import pyarrow as pa
import pytest

from visnet import tables


def rows(content: dict[str, str]) -> pa.Table:
    return pa.table(
        {
            "id": pa.array(list(content), pa.string()),
            "source": pa.array(list(content.values()), pa.string()),
            "content": pa.array(list(content.values()), pa.string()),
        }
    )


def bring_up_to(path: Path, wanted: dict[str, str]) -> tables.Difference:
    change = tables.compare(path, "id", tables.wanted(list(wanted), list(wanted.values())))
    tables.put(path, "id", rows({key: wanted[key] for key in change.todo}), change.changed)
    tables.delete(path, "id", change.gone)
    return change


def test_two_rows_have_the_same_fingerprint_only_if_every_value_is_the_same() -> None:
    left = pa.array(["a", "a", "", None, "a:1", "a", "1:a"])
    right = pa.array(["b", "b", "ab", "ab", "b", "1:b", "b"])
    number = pa.array([0.1, 0.1, 0.1, 0.1, 0.1, None, 0.1])
    first, again, *others = tables.fingerprints(left, right, number)
    assert first == again == tables.fingerprints(left[:1], right[:1], number[:1])[0]
    assert len({first, *others}) == 6
    assert tables.fingerprints(pa.chunked_array([left[:3], left[3:]]), right, number) == [first, again, *others]


def test_a_difference_names_what_is_new_changed_and_gone(tmp_path: Path) -> None:
    path = tmp_path / "t.lance"
    bring_up_to(path, {"a": "1", "b": "1", "c": "1"})
    change = bring_up_to(path, {"b": "1", "c": "2", "d": "1"})
    assert (change.new, change.changed, change.gone, change.same) == (["d"], ["c"], ["a"], 1)
    held = tables.read(path, ["id", "content"]).to_pylist()
    assert sorted((row["id"], row["content"]) for row in held) == [("b", "1"), ("c", "2"), ("d", "1")]


def test_no_difference_makes_no_commit(tmp_path: Path) -> None:
    path = tmp_path / "t.lance"
    bring_up_to(path, {"a": "1"})
    version, files = lance.dataset(str(path)).version, sorted(p.name for p in path.rglob("*"))
    bring_up_to(path, {"a": "1"})
    assert lance.dataset(str(path)).version == version
    assert sorted(p.name for p in path.rglob("*")) == files


def test_the_digest_forgets_the_way_to_the_content(tmp_path: Path) -> None:
    straight, winding = tmp_path / "a.lance", tmp_path / "b.lance"
    bring_up_to(straight, {"a": "2", "b": "1"})
    bring_up_to(winding, {"b": "1", "c": "9"})
    bring_up_to(winding, {"b": "0", "a": "2"})
    assert tables.digest(straight, "id") != tables.digest(winding, "id")
    bring_up_to(winding, {"a": "2", "b": "1"})
    assert tables.digest(straight, "id") == tables.digest(winding, "id")


def test_keys_with_quotes_are_only_keys(tmp_path: Path) -> None:
    path = tmp_path / "t.lance"
    bring_up_to(path, {"o'neill's": "1", "x' OR 'a'='a": "1", "plain": "1"})
    bring_up_to(path, {"plain": "1"})
    assert tables.read(path, ["id"])["id"].to_pylist() == ["plain"]


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.lance: no table there"):
        tables.digest(tmp_path / "gone.lance", "id")


def test_a_killed_writer_leaves_whole_commits(tmp_path: Path) -> None:
    """A process that commits ten rows at a time is killed: a multiple of ten is there, and can be gone on with."""
    path = tmp_path / "t.lance"
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
import pyarrow as pa
from pathlib import Path
from visnet import tables
for start in range(0, 100_000, 10):
    keys = [f"{{i:06d}}" for i in range(start, start + 10)]
    tables.put(Path({str(path)!r}), "id", pa.table({{"id": keys, "source": keys, "content": keys}}))
"""
    writer = subprocess.Popen([sys.executable, "-c", code])
    deadline_s = time.monotonic() + 60
    while not (tables.is_table(path) and tables.opened(path).count_rows() >= 50) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    count = tables.opened(path).count_rows()
    assert count >= 50
    assert count % 10 == 0
    wanted = {f"{i:06d}": f"{i:06d}" for i in range(count + 10)}
    assert bring_up_to(path, wanted).same == count
    assert tables.opened(path).count_rows() == count + 10
