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
from hypothesis import given
from hypothesis import strategies as st

from visnet.storage.fingerprints import HASH_COLUMNS, fingerprint_of_texts, fingerprints
from visnet.storage.table import Difference, Table, wanted_rows


def rows(content: dict[str, str]) -> pa.Table:
    return pa.table(
        {
            "id": pa.array(list(content), pa.string()),
            "source": pa.array(list(content.values()), pa.string()),
            "content": pa.array(list(content.values()), pa.string()),
        }
    )


def bring_up_to(path: Path, wanted: dict[str, str]) -> Difference:
    change = Table(path, "id").compare(wanted_rows(list(wanted), list(wanted.values())))
    Table(path, "id").put(rows({key: wanted[key] for key in change.todo}), change.changed)
    Table(path, "id").delete(change.gone)
    return change


def test_two_rows_have_the_same_fingerprint_only_if_every_value_is_the_same() -> None:
    left = pa.array(["a", "a", "", None, "a:1", "a", "1:a"])
    right = pa.array(["b", "b", "ab", "ab", "b", "1:b", "b"])
    number = pa.array([0.1, 0.1, 0.1, 0.1, 0.1, None, 0.1])
    first, again, *others = fingerprints(left, right, number)
    assert first == again == fingerprints(left[:1], right[:1], number[:1])[0]
    assert len({first, *others}) == 6
    assert fingerprints(pa.chunked_array([left[:3], left[3:]]), right, number) == [first, again, *others]


ANY_TEXT = st.none() | st.text(st.sampled_from("a|:/=,-1\x1f\n\t'\"\\ é👜\0"), max_size=4) | st.text(max_size=4)
KINDS = (pa.string(), pa.string(), pa.float64())
ANY_NUMBER = st.none() | st.sampled_from([0.0, -0.0, 0.1, 1e300, -1.5])


@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT, ANY_NUMBER), min_size=1, max_size=12))
def test_no_two_rows_of_any_text_have_one_fingerprint(rows: list[tuple[str | None, str | None, float | None]]) -> None:
    left, right, number = (pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), KINDS, strict=True))
    digits = fingerprints(left, right, number)
    assert len(set(digits)) == len(set(rows))
    assert all(len(one) == 32 and one.isalnum() for one in digits)


@given(st.lists(ANY_TEXT, min_size=1, max_size=4))
def test_a_row_of_texts_has_the_fingerprint_that_it_has_in_columns(texts: list[str | None]) -> None:
    assert [fingerprint_of_texts(*texts)] == fingerprints(*(pa.array([text], pa.string()) for text in texts))


def test_a_fingerprint_is_the_same_for_ever() -> None:
    rows = (pa.array(["a", "é"]), pa.array([None, 7]), pa.array([0.1, None]))
    assert fingerprints(*rows) == ["1efbbd5ffc741bf49cae4c60a5e29706", "8482f54cf70fbdc9efb3e600e1d8dc0d"]


def test_a_digest_tells_apart_what_only_line_breaks_in_keys_do(tmp_path: Path) -> None:
    one, two = ("0" * 32, "1" * 32)
    bring_up_to(tmp_path / "a.lance", {"a": one, "b": two})
    bring_up_to(tmp_path / "b.lance", {f"a\t{one}\nb": two})
    bring_up_to(tmp_path / "c.lance", {f"a\t{one}\\nb": two})
    assert len({Table(tmp_path / f"{name}.lance", "id").digest() for name in "abc"}) == 3


def test_an_older_table_gets_the_columns_that_it_lacks(tmp_path: Path) -> None:
    path, schema = tmp_path / "t.lance", pa.schema([("id", pa.string()), ("left", pa.float64()), *HASH_COLUMNS])
    bring_up_to(path, {"a": "1"})
    Table(path).add_columns(schema)
    Table(path, "id").put(pa.table([["b"], [2.0], ["1"], ["1"]], schema=schema))
    assert sorted(Table(path).read(["id", "left"]).to_pylist(), key=str) == [
        {"id": "a", "left": None},
        {"id": "b", "left": 2.0},
    ]
    version = Table(path).version
    Table(path).add_columns(schema)
    assert Table(path).version == version


def test_a_difference_names_what_is_new_changed_and_gone(tmp_path: Path) -> None:
    path = tmp_path / "t.lance"
    bring_up_to(path, {"a": "1", "b": "1", "c": "1"})
    change = bring_up_to(path, {"b": "1", "c": "2", "d": "1"})
    assert (change.new, change.changed, change.gone, change.same) == (["d"], ["c"], ["a"], 1)
    held = Table(path).read(["id", "content"]).to_pylist()
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
    assert Table(straight, "id").digest() != Table(winding, "id").digest()
    bring_up_to(winding, {"a": "2", "b": "1"})
    assert Table(straight, "id").digest() == Table(winding, "id").digest()


def test_keys_with_quotes_are_only_keys(tmp_path: Path) -> None:
    path = tmp_path / "t.lance"
    bring_up_to(path, {"o'neill's": "1", "x' OR 'a'='a": "1", "plain": "1"})
    bring_up_to(path, {"plain": "1"})
    assert Table(path).read(["id"])["id"].to_pylist() == ["plain"]


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.lance: no table there"):
        Table(tmp_path / "gone.lance", "id").digest()


def test_a_killed_writer_leaves_whole_commits(tmp_path: Path) -> None:
    """A process that commits ten rows at a time is killed: a multiple of ten is there, and can be gone on with."""
    path = tmp_path / "t.lance"
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
import pyarrow as pa
from pathlib import Path
from visnet.storage.table import Table
for start in range(0, 100_000, 10):
    keys = [f"{{i:06d}}" for i in range(start, start + 10)]
    Table(Path({str(path)!r}), "id").put(pa.table({{"id": keys, "source": keys, "content": keys}}))
"""
    writer = subprocess.Popen([sys.executable, "-c", code])
    deadline_s = time.monotonic() + 60
    while not (Table(path).exists() and Table(path).count() >= 50) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    count = Table(path).count()
    assert count >= 50
    assert count % 10 == 0
    wanted = {f"{i:06d}": f"{i:06d}" for i in range(count + 10)}
    assert bring_up_to(path, wanted).same == count
    assert Table(path).count() == count + 10
