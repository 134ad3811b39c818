"""visnet.categorizing.retelling: answers in today's tree, as counting the photos of each node by hand has them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visnet.categorizing.answers import answers
from visnet.categorizing.retelling import Retelling
from visnet.errors import Damaged, NotReady
from visnet.taxonomy.changes import TreeChanges
from visnet.taxonomy.tree import Taxonomy, prefixes

LEARNT = Taxonomy.of(["Bags/Packs", "Bags/Totes", "Shoes/Boots", "Shoes/Clogs", "Tops"])
NONE = Path("no such file")


def retelling(tree: Sequence[str], *rows: tuple[str, str], sure: float = 0.5) -> Retelling:
    moves: dict[str, tuple[str, ...]] = {}
    for source, target in rows:
        moves[source] = (*moves.get(source, ()), target)
    return Retelling(LEARNT, Taxonomy.of(tree), TreeChanges(moves), sure)


def photo(**shares: float) -> np.ndarray:
    """One photo's probabilities of the paths that are learnt, by their last names."""
    return np.array([[shares.get(path.rpartition("/")[2], 0.0) for path in LEARNT.paths]])


def test_a_tree_that_has_all_of_today_s_categories_stays() -> None:
    """A category whose last product is sold is not gone."""
    for categories in (LEARNT.paths, {"Tops", "Bags/Totes"}, {"Tops"}, set[str]()):
        there = Retelling.of(LEARNT, categories, (), NONE, 0.5)
        assert (there.same, there.name, there.tree) == (True, "", LEARNT)
    grown = Retelling.of(LEARNT, {*LEARNT.paths, "Hats"}, (), NONE, 0.5)
    assert (grown.same, grown.tree) == (False, Taxonomy.of([*LEARNT.paths, "Hats"]))
    written = Retelling.of(LEARNT, {"Tops"}, ["Tops", "Hats"], NONE, 0.5)
    assert (written.same, written.tree) == (False, Taxonomy.of(["Tops", "Hats"])), "what is written down decides"
    assert Retelling.of(LEARNT, {"Hats"}, LEARNT.paths, NONE, 0.5).same


def test_categories_that_make_no_tree_are_refused_in_a_line() -> None:
    with pytest.raises(ValueError, match=r"^the crops' categories: 'Hats' is the only path"):
        Retelling.of(LEARNT, {"Hats"}, (), NONE, 0.5)
    with pytest.raises(ValueError, match=r"^the crops' categories: path 'Hats//Caps': level 2 has no name$"):
        Retelling.of(LEARNT, {"Hats//Caps", "Tops"}, (), NONE, 0.5)


def test_what_is_written_is_read_back_for_the_model_whose_tree_it_is_of(tmp_path: Path) -> None:
    file = tmp_path / "today.json"
    assert Retelling.read(file, LEARNT, 0.5) is None
    there = retelling(["Luggage/Packs", "Luggage/Totes", *LEARNT.paths[2:]], ("Bags", "Luggage"), ("Tops", "Tops"))
    there.save(file)
    assert Retelling.read(file, LEARNT, 0.5) == there
    with pytest.raises(NotReady, match=r"today.json is of another taxonomy .*: run `dvc repro category_paths`$"):
        Retelling.read(file, there.tree, 0.5)
    for text in ("{", "[]", '{"of": "x", "paths": ["a", "b"], "moves": []}', '{"of": "x", "paths": [], "moves": {}}'):
        file.write_text(text)
        with pytest.raises(Damaged, match=r"today.json is damaged: run `dvc repro"):
            Retelling.read(file, LEARNT, 0.5)
    Retelling(LEARNT, LEARNT, TreeChanges({}), 0.5).save(file)
    assert not file.exists(), "nothing became of it"


def test_what_was_renamed_is_told_as_surely_as_before() -> None:
    there = retelling(["Luggage/Packs", "Luggage/Totes", *LEARNT.paths[2:]], ("Bags", "Luggage"))
    told = there.stored("Bags/Totes", [0.9, 0.4])
    assert told == ("Luggage/Totes", (0.9, 0.4), "Luggage", there.tree.version)
    assert there.stored("Tops", [0.7]) == ("Tops", (0.7,), "Tops", there.tree.version)


def test_a_level_that_was_not_there_is_as_probable_as_what_is_below_it_and_not_told_more_surely() -> None:
    there = retelling(["Travel/Bags/Packs", "Travel/Bags/Totes", "Shoes/Boots", "Tops"], ("Bags", "Travel/Bags"))
    told = there.stored("Bags/Totes", [0.9, 0.4])
    assert told is not None
    assert (told.path, told.level_probabilities, told.answer) == (
        "Travel/Bags/Totes",
        (0.9, 0.9, 0.4),
        "Travel/Bags",
    )
    flat = retelling(["Packs", "Totes", "Shoes/Boots", "Tops"], ("Bags/Packs", "Packs"), ("Bags/Totes", "Totes"))
    assert flat.stored("Bags/Totes", [0.9, 0.4]) is None, "Bags was told, and is nowhere"
    assert flat.stored("Bags/Totes", [0.9, 0.6]) == ("Totes", (0.6,), "Totes", flat.tree.version)


def test_what_was_split_or_is_gone_is_not_mapped_and_predicted_as_far_as_it_stands() -> None:
    rows = [("Bags/Totes", "Bags/Totes/Small"), ("Bags/Totes", "Bags/Totes/Large")]
    there = retelling(["Bags/Totes/Small", "Bags/Totes/Large", "Bags/Packs", "Shoes/Boots"], *rows)
    assert there.stored("Bags/Totes", [0.9, 0.8]) is None
    assert there.stored("Shoes/Clogs", [0.9, 0.8]) is None
    assert there.stored("Tops", [0.9]) is None
    (split,) = there.predicted(photo(Totes=0.7, Packs=0.2, Boots=0.1))
    assert split.path == split.answer == "Bags/Totes"
    assert split.level_probabilities == pytest.approx((0.9, 0.7))
    (gone,) = there.predicted(photo(Clogs=0.5, Boots=0.3, Tops=0.2))
    assert gone.path == gone.answer == "Shoes"
    assert gone.level_probabilities == pytest.approx((0.8,))
    (nowhere,) = there.predicted(photo(Tops=0.9, Packs=0.1))
    assert nowhere == ("", (), "", there.tree.version)
    assert nowhere.told == 0


def test_merged_paths_are_together_as_probable_as_they_are() -> None:
    rows = [("Shoes/Boots", "Shoes/All"), ("Shoes/Clogs", "Shoes/All")]
    there = retelling(["Shoes/All", "Bags/Packs", "Bags/Totes", "Tops"], *rows)
    (told,) = there.predicted(photo(Boots=0.3, Clogs=0.3, Tops=0.4))
    assert (told.path, told.answer) == ("Shoes/All", "Shoes/All")
    assert told.level_probabilities == pytest.approx((0.6, 0.6))
    assert there.stored("Shoes/Boots", [0.6, 0.3]) == ("Shoes/All", (0.6, 0.3), "Shoes", there.tree.version)


@given(
    st.permutations(["Caps", "Hats", "Scarves", "Socks", "Ties"]),
    st.lists(st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any), min_size=1, max_size=4),
)
def test_where_only_names_changed_mapping_a_stored_answer_is_what_predicting_again_says(
    names: list[str], counts: list[list[int]]
) -> None:
    rows = [
        (path, f"{path.rpartition('/')[0]}/{name}".lstrip("/")) for path, name in zip(LEARNT.paths, names, strict=True)
    ]
    there = retelling([to for _, to in rows], *rows)
    shares = np.array(counts) / np.sum(counts, axis=1, keepdims=True)
    for before, again in zip(answers(LEARNT, shares, 0.5), there.predicted(shares), strict=True):
        mapped = there.stored(before.path, before.level_probabilities)
        assert mapped is not None
        if before.level_probabilities[-1] > 0.5:  # no ties
            assert (mapped.path, mapped.answer) == (again.path, again.answer)
            assert mapped.level_probabilities == pytest.approx(again.level_probabilities)


@given(st.integers(0, 2**32 - 1))
def test_no_level_is_less_probable_than_the_one_below_and_each_is_a_sum_of_what_it_holds(seed: int) -> None:
    """Photos of 1,000 draws each, counted one by one."""
    rng = np.random.default_rng(seed)
    nodes = ["Bags", "Bags/Packs", "Bags/Totes", "Bags/Totes/Small", "Shoes/Boots", "Tops", "Hats"]
    tree = Taxonomy.of([nodes[at] for at in rng.choice(len(nodes), rng.integers(2, len(nodes)), replace=False)])
    there = Retelling(LEARNT, tree, TreeChanges({}), 0.3)
    drawn = rng.choice(LEARNT.paths, 1000, p=rng.dirichlet(np.ones(5)))
    shares = np.array([[float((drawn == path).mean()) for path in LEARNT.paths]])
    held = {path: next((n for n in reversed(prefixes(path)) if n in tree.node_numbers), "") for path in LEARNT.paths}
    (told,) = there.predicted(shares)
    ends = [held[one] for one in drawn]
    assert ends.count(told.path) == max(ends.count(end) for end in ends)
    for node, probability in zip(prefixes(told.path), told.level_probabilities, strict=True):
        assert probability == pytest.approx(np.mean([node in prefixes(end) for end in ends]))
    assert list(told.level_probabilities) == sorted(told.level_probabilities, reverse=True)
    assert told.answer in ("", *prefixes(told.path))
