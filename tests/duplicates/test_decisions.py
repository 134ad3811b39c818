"""What a person decided of pairs: the file, and the groups that follow."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visnet.duplicates.decisions import CONFIRMED, DISMISSED, Decisions, read, row, write
from visnet.duplicates.groups import grouped, members


def test_a_decision_is_kept_whichever_way_round_and_the_last_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "duplicates.csv"
    assert read(path) == Decisions()
    found = Decisions().put(row(CONFIRMED, "b", "a"), True).put(row(DISMISSED, "a", "c"), True)
    found = found.put(row(DISMISSED, "a", "b"), True).put(row(CONFIRMED, "d", "d"), True)
    write(path, found)
    assert path.read_text() == "decision,a,b\nconfirmed,d,d\ndismissed,a,b\ndismissed,a,c\n"
    assert read(path) == found
    assert read(path).of() == {("a", "b"): DISMISSED, ("a", "c"): DISMISSED, ("d", "d"): CONFIRMED}
    assert found.put(row(DISMISSED, "c", "a"), False).of().keys() == {("a", "b"), ("d", "d")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("what,a,b\n", "line 1: the header must be decision,a,b"),
        ("decision,a,b\nsame,x,y\n", "line 2: decision is 'same'; allowed are confirmed, dismissed"),
        ("decision,a,b\nconfirmed,x\n", "line 2: there are 2 columns"),
        ("decision,a,b\nconfirmed,x,\n", "line 2: a is 'x', b is ''; needed are two"),
        ("decision,a,b\nconfirmed,x,y\ndismissed,y,x\n", "line 3: the pair x, y is both confirmed and dismissed"),
    ],
)
def test_a_file_that_says_something_else_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "duplicates.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match="duplicates.csv: " + said):
        read(path)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")), max_size=8))
def test_groups_are_what_following_the_pairs_gives(edges: list[tuple[str, str]]) -> None:
    found = grouped(edges)
    edges = [(a, b) for a, b in edges if a != b]
    reach = {end: {end} for edge in edges for end in edge}
    for _ in range(8):
        for a, b in edges:
            reach[a] |= reach[b]
            reach[b] |= reach[a]
    assert found == {product: min(own) for product, own in reach.items()}
    assert {p for inside in members(found).values() for p in inside} == set(found)
