"""A feed's state: the catalog is what the highest record of each product says, whatever came when and how often."""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.line.feed import SUFFIXES, Inbox
from visnet.sources.changefeed import batches
from visnet.sources.changefeed import state as feed_state
from visnet.sources.changefeed.records import Limits
from visnet.sources.changefeed.state import fold, listed
from visnet.storage.table import Table

KEYS = {"catalog": "product_id", "dead_letters": "letter_id", "batches": "batch"}
NONE = {"stale": 0, "repeated": 0, "unknown_deletes": 0, "dead_letters": 0}
Row = dict[str, Any]


def upsert(product_id: str, seq: int, **facts: object) -> Row:
    return {"product_id": product_id, "op": "upsert", "seq": seq, "photos": ["a.jpg"], "category": "hats", **facts}


def delete(product_id: str, seq: int) -> Row:
    return {"product_id": product_id, "op": "delete", "seq": seq}


def put(inbox: Path, name: str, *rows: Row | str) -> None:
    inbox.mkdir(parents=True, exist_ok=True)
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    (inbox / name).write_text("".join(f"{line}\n" for line in lines))


def digests(state: Path, *names: str) -> dict[str, str]:
    return {name: Table(state / f"{name}.lance", KEYS[name]).digest() for name in names or KEYS}


def catalog(state: Path) -> dict[str, Row]:
    rows = Table(state / "catalog.lance").opened().to_table().to_pylist()
    assert len({row["product_id"] for row in rows}) == len(rows)
    return {row["product_id"]: row for row in rows}


def expected(rows: list[Row]) -> dict[str, tuple[str, int]]:
    """What a shop would say: of each product the last word, and it is gone if that is a delete."""
    last: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row["seq"]):
        last[row["product_id"]] = row
    return {product_id: (row["op"], row["seq"]) for product_id, row in last.items()}


@st.composite
def histories(draw: st.DrawFn) -> list[Row]:
    kinds = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans(), st.integers(0, 3)), min_size=1, max_size=12)
    return [
        upsert(p, seq, price=price) if is_upsert else delete(p, seq)
        for seq, (p, is_upsert, price) in enumerate(draw(kinds))
    ]


NOW = Limits.ahead(now_s=1_770_000_000, clock_skew_max_s=86_400)
FUTURE: list[Row] = [upsert("a", 5, updated_at="9999-12-31"), delete("b", 2**63 - 1), upsert("c", 4 * 10**18)]


@given(
    history=histories(),
    seed=st.integers(0, 2**32),
    files=st.integers(1, 4),
    runs=st.integers(1, 3),
    at_once=st.integers(1, 5),
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_repetition_and_division_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, history: list[Row], seed: int, files: int, runs: int, at_once: int
) -> None:
    folder, rng = tmp_path_factory.mktemp("history"), random.Random(seed)
    put(folder / "straight", "all.jsonl", *history)
    fold(folder / "straight", "*", folder / "wanted", NOW)
    unruly = [*history, *rng.choices([*history, *FUTURE], k=rng.randrange(6))]
    rng.shuffle(unruly)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(feed_state, "RECORDS_AT_ONCE", at_once)  # a batch may be divided, too
        for run in range(runs):
            for number in range(files):
                put(folder / "inbox", f"{run}-{number}.jsonl", *unruly[run * files + number :: files * runs])
            fold(folder / "inbox", "*", folder / "state", NOW)
    found = catalog(folder / "state")
    assert {p: (row["op"], row["seq"]) for p, row in found.items()} == expected(history)
    assert digests(folder / "state", "catalog") == digests(folder / "wanted", "catalog")


def test_equal_numbers_are_decided_by_time_and_then_by_what_is_said(tmp_path: Path) -> None:
    tied = [upsert("a", 5, price=n) for n in range(4)]
    late, early = upsert("b", 5, updated_at="2026-01-05T02:00:00Z"), upsert("b", 5, updated_at="2026-01-05T01:00:00Z")
    timeless = upsert("b", 5, title="of no time")
    for name, rows in {"one": [*tied, late, early, timeless], "two": [timeless, early, late, *reversed(tied)]}.items():
        put(tmp_path / name, "b.jsonl", *rows)
        fold(tmp_path / name, "*", tmp_path / f"{name}-state")
    assert digests(tmp_path / "one-state", "catalog") == digests(tmp_path / "two-state", "catalog")
    assert catalog(tmp_path / "one-state")["b"]["updated_at"] == 1767578400_000000


def test_counts_say_what_came(tmp_path: Path) -> None:
    inbox, state = tmp_path / "inbox", tmp_path / "state"
    put(inbox, "1.jsonl", upsert("a", 1), upsert("b", 2), delete("never", 3), "broken")
    put(inbox, ".hidden.jsonl", upsert("x", 1))
    put(inbox, "_SUCCESS")
    first = {"batches": 1, "batches_new": 1, "records": 3, "upserts": 2, "deletes": 1, "products_live": 2}
    assert fold(inbox, "*", state) == {**NONE, **first, "unknown_deletes": 1, "dead_letters": 1}
    nothing = dict.fromkeys((*first, *NONE), 0)
    assert fold(inbox, "*", state) == {**nothing, "batches": 1, "products_live": 2}
    put(inbox, "2.jsonl", upsert("a", 1), upsert("a", 0), delete("b", 4), upsert("never", 2), upsert("c", 9))
    second = {"batches": 2, "batches_new": 1, "records": 5, "upserts": 4, "deletes": 1, "products_live": 2}
    assert fold(inbox, "*", state) == {**NONE, **second, "repeated": 1, "stale": 2}
    assert {p: row["op"] for p, row in catalog(state).items()} == {
        "a": "upsert",
        "b": "delete",
        "c": "upsert",
        "never": "delete",  # a delete stays, so that the older upsert, which came after it, is no news
    }


def test_a_record_from_the_future_does_not_freeze_its_product(tmp_path: Path) -> None:
    inbox, state = tmp_path / "inbox", tmp_path / "state"
    skewed = upsert("d", 1, updated_at=1_770_000_000 + 86_400)  # within what is allowed
    put(inbox, "1.jsonl", *FUTURE, skewed)
    assert fold(inbox, "*", state, NOW)["dead_letters"] == len(FUTURE)
    put(inbox, "2.jsonl", *(upsert(product_id, 6) for product_id in "abc"))
    later = Limits.ahead(now_s=4e11, clock_skew_max_s=0)  # a batch that was read is not judged again
    assert fold(inbox, "*", state, later)["dead_letters"] == 0
    assert {p: row["seq"] for p, row in catalog(state).items()} == {"a": 6, "b": 6, "c": 6, "d": 1}
    letters = Table(state / "dead_letters.lance").opened().to_table()["reason"].to_pylist()
    assert sorted(letters) == [
        "seq: over seq_max, or what a clock could have counted by now",
        "seq: over seq_max, or what a clock could have counted by now",
        "updated_at: further ahead of this machine's clock than clock_skew_max_s",
    ]


def test_of_many_dead_letters_the_first_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    put(tmp_path / "inbox", "1.jsonl", *["broken"] * 1_500, upsert("a", 1))
    said = fold(tmp_path / "inbox", "*", tmp_path / "state")
    assert (said["records"], said["dead_letters"]) == (1, 1_500)
    assert Table(tmp_path / "state" / "dead_letters.lance").count() == batches.DEAD_KEPT == 1_000


def test_a_folder_called_like_a_batch_holds_batches_and_dagster_lists_the_same(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    put(inbox / "day.parquet", "part-0.jsonl", upsert("a", 1))
    put(inbox / "day.parquet" / "hour=1", "part-1.jsonl", upsert("b", 1))
    put(inbox / "day.parquet" / "_temporary", "part-2.jsonl", upsert("c", 1))
    put(inbox / "day.parquet", "_SUCCESS")
    put(inbox / "done", "old.jsonl", upsert("d", 1))
    put(inbox, "1.jsonl", upsert("e", 1))
    assert fold(inbox, "*", tmp_path / "state")["batches"] == 3
    assert sorted(catalog(tmp_path / "state")) == ["a", "b", "e"]
    assert list(listed(inbox, "*")) == list(Inbox(inbox, "", "*").batches())
    assert SUFFIXES == batches.SUFFIXES


def test_a_batch_that_is_not_news_is_not_opened(tmp_path: Path) -> None:
    inbox, state = tmp_path / "inbox", tmp_path / "state"
    put(inbox, "1.jsonl", upsert("a", 1))
    fold(inbox, "*", state)
    status = (inbox / "1.jsonl").stat()
    (inbox / "1.jsonl").write_bytes(b"x" * status.st_size)
    os.utime(inbox / "1.jsonl", ns=(status.st_atime_ns, status.st_mtime_ns))  # nobody can tell without opening it
    before = sorted(p.name for p in state.rglob("*.manifest"))
    assert fold(inbox, "*", state)["batches_new"] == 0
    assert sorted(p.name for p in state.rglob("*.manifest")) == before, "nothing was committed"


def test_a_changed_batch_is_read_again_and_one_that_vanished_changes_nothing(tmp_path: Path) -> None:
    inbox, state = tmp_path / "inbox", tmp_path / "state"
    put(inbox, "1.jsonl", upsert("a", 1), "broken", "broken too")
    put(inbox, "2.jsonl", upsert("b", 2), "broken")
    fold(inbox, "*", state)
    put(inbox, "1.jsonl", upsert("a", 3), "broken", upsert("c", 4))
    (inbox / "2.jsonl").unlink()
    said = fold(inbox, "*", state)
    assert (said["batches"], said["batches_new"], said["products_live"]) == (1, 1, 3)
    letters = Table(state / "dead_letters.lance").opened().to_table().to_pylist()
    assert sorted((row["batch"], row["line"], row["reason"], row["text"]) for row in letters) == [
        ("1.jsonl", 2, "not JSON", "broken"),
        ("2.jsonl", 2, "not JSON", "broken"),
    ]
    text = (inbox / "1.jsonl").read_text()
    (inbox / "1.jsonl").unlink()
    (inbox / "1.jsonl").write_text(text)  # copied again: another time, the same bytes
    before = digests(state)
    assert fold(inbox, "*", state)["batches_new"] == 0
    assert digests(state) == before


class Cut(Exception):
    """The run ends here."""


@pytest.mark.parametrize("after", range(7))
def test_a_run_that_is_cut_after_any_commit_is_repaired_by_the_next(
    tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = tmp_path / "inbox"
    put(inbox, "1.jsonl", upsert("a", 1), upsert("b", 2), "broken", delete("z", 3))
    fold(inbox, "*", tmp_path / "state")
    put(inbox, "1.jsonl", upsert("a", 1), upsert("b", 2), delete("a", 7), "broken more")
    put(inbox, "2.jsonl", upsert("a", 5), delete("b", 6), upsert("c", 7))
    commits = 0

    def counted(real: Any) -> Any:
        def commit(*arguments: Any, **named: Any) -> None:
            nonlocal commits
            if commits == after:
                raise Cut
            commits += 1
            real(*arguments, **named)

        return commit

    with monkeypatch.context() as cut:
        cut.setattr(feed_state, "RECORDS_AT_ONCE", 1)  # a commit per batch
        cut.setattr(Table, "put", counted(Table.put))
        cut.setattr(Table, "delete", counted(Table.delete))
        with pytest.raises(Cut):
            fold(inbox, "*", tmp_path / "state")
    fold(inbox, "*", tmp_path / "state")
    fold(inbox, "*", tmp_path / "clean")
    assert digests(tmp_path / "state", "batches", "dead_letters") == digests(
        tmp_path / "clean", "batches", "dead_letters"
    )
    found, wanted = catalog(tmp_path / "state"), catalog(tmp_path / "clean")
    assert found.pop("z")["op"] == "delete"  # of the first bytes of 1.jsonl: what was said counts
    assert found == wanted
