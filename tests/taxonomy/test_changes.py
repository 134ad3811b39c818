"""visnet.taxonomy.changes: where answers stand in the new tree, as moving each photo by hand has it."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.taxonomy.test_tree import ATLAS
from visnet.errors import NotFound
from visnet.taxonomy.changes import TreeChanges, read_changes, remap
from visnet.taxonomy.tree import Taxonomy

OLD = Taxonomy.of(["Shoes", "Shoes/Boots", "Shoes/Clogs", "Bags/Totes", "Bags/Packs", "Tops/Tees", "Tops/Polos"])


def written(folder: Path, *rows: tuple[str, ...], header: tuple[str, ...] = ("from", "to")) -> Path:
    file = folder / "changes.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([header, *rows])
    return file


def after(folder: Path, new: Taxonomy, answers: list[str], *rows: tuple[str, str]) -> list[str | None]:
    return remap(answers, read_changes(written(folder, *rows), OLD, new), new)


def test_a_node_is_renamed_and_moved_with_what_is_below_it(tmp_path: Path) -> None:
    new = Taxonomy.of(["Footwear", "Footwear/Boots", "Footwear/Clogs", "Travel/Carry/Packs", "Tops/Tees", "Tops/Polos"])
    rows = [("Shoes", "Footwear"), ("Bags", "Travel/Carry")]
    answers = ["Shoes", "Shoes/Boots", "Bags", "Bags/Packs", "Bags/Totes", "Tops", "Tops/Tees", "", "Shoes"]
    assert after(tmp_path, new, answers, *rows) == [
        "Footwear",
        "Footwear/Boots",
        "Travel/Carry",
        "Travel/Carry/Packs",
        None,  # moved to where the new tree has no totes
        "Tops",
        "Tops/Tees",
        "",
        "Footwear",
    ]


def test_two_merge_and_one_that_splits_is_predicted_anew(tmp_path: Path) -> None:
    new = Taxonomy.of(["Shoes/All", "Bags/Totes/Small", "Bags/Totes/Large", "Bags/Packs", "Tops/Tees"])
    rows = [("Shoes/Boots", "Shoes/All"), ("Shoes/Clogs", "Shoes/All"), ("Bags/Totes", "Bags/Totes/Small")]
    rows += [("Bags/Totes", "Bags/Totes/Large"), ("Tops/Polos", "Tops/Tees")]
    answers = ["Shoes", "Shoes/Boots", "Shoes/Clogs", "Bags/Totes", "Bags", "Tops/Polos", "Tops"]
    said = after(tmp_path, new, answers, *rows)
    assert said == ["Shoes", "Shoes/All", "Shoes/All", None, "Bags", "Tops/Tees", "Tops"]


def test_a_swap_is_two_rows_and_the_deeper_row_decides(tmp_path: Path) -> None:
    new = Taxonomy.of(["Bags/Boots", "Bags/Totes", "Bags", "Shoes/Totes", "Shoes/Clogs", "Tops/Tees", "Tops/Polos"])
    rows = [("Shoes", "Bags"), ("Bags", "Shoes"), ("Shoes/Clogs", "Shoes/Clogs")]
    assert after(tmp_path, new, ["Shoes/Boots", "Bags/Totes", "Shoes/Clogs", "Bags/Packs"], *rows) == [
        "Bags/Boots",
        "Shoes/Totes",
        "Shoes/Clogs",
        None,
    ]


def test_an_inner_answer_is_predicted_anew_where_something_left_it(tmp_path: Path) -> None:
    new = Taxonomy.of(["Shoes", "Shoes/Boots", "Garden/Clogs", "Bags/Totes", "Tops/Tees/Polos", "Tops/Tees"])
    rows = [("Shoes/Clogs", "Garden/Clogs"), ("Tops/Polos", "Tops/Tees/Polos")]
    answers = ["Shoes", "Shoes/Boots", "Shoes/Clogs", "Tops", "Bags"]
    assert after(tmp_path, new, answers, *rows) == [None, "Shoes/Boots", "Garden/Clogs", "Tops", "Bags"]


def test_a_name_that_begins_as_another_is_not_below_it(tmp_path: Path) -> None:
    old = Taxonomy.of(["Men/Jacket", "Men/Jackets", "Men/Jackets/Long"])
    new = Taxonomy.of(["Men/Coats", "Men/Jackets", "Men/Jackets/Long"])
    changes = read_changes(written(tmp_path, ("Men/Jacket", "Men/Coats")), old, new)
    said = remap(["Men/Jacket", "Men/Jackets", "Men/Jackets/Long", "Men"], changes, new)
    assert said == ["Men/Coats", "Men/Jackets", "Men/Jackets/Long", "Men"]


def test_jackets_under_two_parents_are_changed_apart(tmp_path: Path) -> None:
    new = Taxonomy.of(["Men/Ethnic Wear/Nehru Jackets", *set(ATLAS.paths) - {"Men/Ethnic Wear/Jackets"}])
    file = written(tmp_path, ("Men/Ethnic Wear/Jackets", "Men/Ethnic Wear/Nehru Jackets"))
    said = dict(zip(ATLAS.paths, remap(ATLAS.paths, read_changes(file, ATLAS, new), new), strict=True))
    assert {path: to for path, to in said.items() if to != path} == {
        "Men/Ethnic Wear/Jackets": "Men/Ethnic Wear/Nehru Jackets"
    }


def test_a_row_of_a_change_that_the_old_tree_has_seen_is_passed_over(tmp_path: Path) -> None:
    new = Taxonomy.of(["Sneakers/Boots", "Bags/Totes"])
    file = written(tmp_path, ("Footwear", "Shoes"), ("Handbags", "Bags/Packs"), ("Shoes", "Sneakers"))
    assert dict(read_changes(file, OLD, new).moves) == {"Shoes": ("Sneakers",)}


@pytest.mark.parametrize(
    ("rows", "node", "holder"),
    [
        ([], "Shoes/Boots", "Shoes/Boots"),
        ([], "Shoes/Clogs", "Shoes"),  # gone: what stood above it still does
        ([], "Tops/Tees", ""),  # gone with all that stood above it
        ([("Tops", "Shoes/Boots")], "Tops/Tees", "Shoes/Boots"),
        ([("Bags/Totes", "Bags/Totes/Small"), ("Bags/Totes", "Bags/Totes/Large")], "Bags/Totes", "Bags/Totes"),
        ([("Bags/Totes", "Bags/Totes/Small"), ("Bags/Totes", "Bags/Packs")], "Bags/Totes", "Bags"),
        ([("Bags/Totes", "Bags/Totes/Small"), ("Bags/Totes", "Shoes")], "Bags/Totes", ""),
        ([("Shoes", "Bags"), ("Shoes/Clogs", "Bags/Packs")], "Shoes/Clogs", "Bags/Packs"),
        ([("Shoes", "Bags"), ("Shoes/Clogs", "Bags/Packs")], "Shoes/Boots", "Bags"),
    ],
)
def test_what_a_node_is_held_by(tmp_path: Path, rows: list[tuple[str, str]], node: str, holder: str) -> None:
    new = Taxonomy.of(["Shoes/Boots", "Bags/Totes/Small", "Bags/Totes/Large", "Bags/Packs"])
    assert read_changes(written(tmp_path, *rows), OLD, new).holder(node, new) == holder


def test_without_rows_what_is_still_there_stays(tmp_path: Path) -> None:
    new = Taxonomy.of(["Shoes/Boots", "Hats"])
    said = after(tmp_path, new, ["Shoes", "Shoes/Boots", "Shoes/Clogs", "Bags", "", "never was"])
    assert said == ["Shoes", "Shoes/Boots", None, None, "", None]
    assert after(tmp_path, new, []) == []


NODES = st.lists(st.sampled_from("AB"), min_size=1, max_size=4).map("/".join)


@given(st.dictionaries(NODES, st.lists(NODES, min_size=1, max_size=2, unique=True).map(tuple)), NODES)
def test_a_leaf_goes_where_walking_down_to_it_leads(moves: dict[str, tuple[str, ...]], leaf: str) -> None:
    walked, here, old = [""], [], ""
    for name in leaf.split("/"):  # down from the root; each row that is met begins anew
        old, here = f"{old}/{name}".lstrip("/"), [*here, name]
        if old in moves:
            walked, here = list(moves[old]), []
    expected = ["/".join(filter(None, [start, *here])) for start in walked]
    assert TreeChanges(moves).moved(leaf) == (expected[0] if len(expected) == 1 else None)


@given(st.permutations(OLD.paths), st.lists(st.sampled_from(OLD.paths)))
def test_whatever_changed_places_comes_back_by_the_rows_turned_round(order: list[str], answers: list[str]) -> None:
    """Leaves only: what is below a node moves with it."""
    leaves = [path for path in order if path != "Shoes"]
    pairs = dict(zip(sorted(leaves), leaves, strict=True))
    there = remap(answers, TreeChanges({one: (other,) for one, other in pairs.items()}), OLD)
    back = [pairs[answer] if answer in pairs else there[at] for at, answer in enumerate(answers)]
    assert there == back
    known = [answer for answer in there if answer in pairs.values()]
    again = remap([str(answer) for answer in known], TreeChanges({b: (a,) for a, b in pairs.items()}), OLD)
    assert again == [answer for answer in answers if answer in pairs]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("Shoes", "Shoes"), ("Hats", "Caps")], "line 3: from: 'Hats' is no node of the old tree"),
        ([("", "Shoes")], "line 2: from: '' is no node of the old tree"),
        ([("Shoes", "Hats")], "line 2: to: 'Hats' leads to no path of the new tree"),
        ([("Shoes", "")], "line 2: to: '' leads to no path of the new tree"),
        ([("Bags", "Tops"), ("Shoes", "Bags"), ("Bags", "Tops")], "line 4: the row is on line 2 already"),
        ([("Tops", "Bags"), ("Shoes", "Shoes/Boots")], "line 3: 'Shoes' is moved below itself, to 'Shoes/Boots'"),
        ([("Shoes",)], "line 2: 1 columns; from and to are wanted"),
        ([("Shoes", "Bags", "why")], "line 2: 3 columns; from and to are wanted"),
    ],
)
def test_a_refusal_names_file_and_line(tmp_path: Path, rows: list[tuple[str, ...]], said: str) -> None:
    file = written(tmp_path, *rows)
    with pytest.raises(ValueError, match=r"changes\.csv") as refused:
        read_changes(file, OLD, OLD)
    assert f"{file}: {said}" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1: the header from,to is wanted"),
        (b"to,from\nShoes,Bags\n", "line 1: the header from,to is wanted, not 'to,from'"),
        (b"from;to\nShoes;Bags\n", "line 1: the header from,to is wanted, not 'from;to'"),
        (b'from,to\nShoes,"Bags\n', "line 2: unexpected end of data"),
        (b"from,to\nShoes,Bags\xff\n", "line 2: not UTF-8"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "changes.csv"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        read_changes(file, OLD, OLD)


def test_no_file_and_a_folder_are_refused_and_empty_lines_are_none(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        read_changes(tmp_path / "none.csv", OLD, OLD)
    with pytest.raises(ValueError, match="a folder"):
        read_changes(tmp_path, OLD, OLD)
    file = tmp_path / "changes.csv"
    file.write_bytes(b"\xef\xbb\xbffrom, to\r\n\r\nShoes , Bags\r\n  \r\n")
    assert dict(read_changes(file, OLD, OLD).moves) == {"Shoes": ("Bags",)}
