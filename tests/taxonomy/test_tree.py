"""visnet.taxonomy.tree: nodes, parents and tokens are those that a nested dictionary has."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sources.test_atlas import TAXONOMY
from visnet.errors import Damaged, NotFound
from visnet.taxonomy.paths import joined, levels_of
from visnet.taxonomy.tree import Taxonomy, prefixes

ATLAS = Taxonomy.of(joined(path) for path in TAXONOMY)
NAMES = st.sampled_from(["A", "B", "C/D", "50 %", "é"])
PATHS = st.sets(st.lists(NAMES, min_size=1, max_size=4).map(tuple), min_size=2, max_size=12)


def nested(paths: set[tuple[str, ...]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in paths:
        here = tree
        for name in path:
            here = here.setdefault(name, {})
    return tree


def below(tree: dict[str, Any], path: list[str]) -> list[str]:
    for name in path:
        tree = tree[name]
    return sorted(tree)


def count(tree: dict[str, Any]) -> int:
    return len(tree) + sum(map(count, tree.values()))


@given(PATHS)
def test_the_tree_is_that_of_nested_dictionaries(paths: set[tuple[str, ...]]) -> None:
    tree, there = nested(paths), Taxonomy.of(map(joined, paths))
    assert [tuple(levels_of(path)) for path in there.paths] == sorted(paths)
    assert len(there.nodes) == len(set(there.nodes)) == count(tree)
    assert [levels_of(there.nodes[child])[-1] for child in there.children(None)] == sorted(tree)
    for number, node in enumerate(there.nodes):
        levels = levels_of(node)
        assert there.levels[number] == len(levels) - 1
        assert there.tokens[there.token_of[number]] == levels[-1]
        assert [levels_of(there.nodes[child]) for child in there.children(number)] == [
            [*levels, name] for name in below(tree, levels)
        ]
        above = there.parents[number]
        assert above < number
        assert (levels_of(there.nodes[above]) if above >= 0 else []) == levels[:-1]
    assert there.ancestors.shape == (len(paths), there.depth) == (len(paths), max(map(len, paths)))
    for number, path in enumerate(sorted(paths)):
        passed = [joined(path[:depth]) for depth in range(1, len(path) + 1)]
        assert [there.nodes[node] for node in there.ancestors[number] if node >= 0] == passed
        assert (there.ancestors[number, len(path) :] == -1).all()
        assert there.nodes[there.ends[number]] == there.paths[number]
        assert there.path_numbers[there.paths[number]] == number
        assert prefixes(there.paths[number]) == passed
    assert (np.diff(there.levels) >= 0).all()
    assert there.tokens == tuple(sorted({name for path in paths for name in path}))


def test_atlas_has_52_paths_60_nodes_and_54_names_and_its_jackets_stay_apart() -> None:
    assert (len(ATLAS.paths), len(ATLAS.nodes), len(ATLAS.tokens), ATLAS.depth) == (52, 2 + 6 + 52, 54, 3)
    jackets = [node for node in ATLAS.nodes if node.endswith("/Jackets")]
    assert jackets == ["Men/Ethnic Wear/Jackets", "Men/Western Wear/Jackets"]
    numbers = [ATLAS.node_numbers[node] for node in jackets]
    assert len({*ATLAS.token_of[numbers]}) == 1
    assert len({*ATLAS.parents[numbers]}) == 2
    assert [ATLAS.nodes[node] for node in ATLAS.children(None)] == ["Men", "Women"]
    assert ATLAS.children(int(numbers[0])).tolist() == []


def test_a_path_may_end_at_an_inner_node() -> None:
    shoes = Taxonomy.of(["Shoes/Boots", "Shoes", "Bags", "Shoes"])
    assert shoes.paths == ("Bags", "Shoes", "Shoes/Boots")
    assert shoes.nodes == ("Bags", "Shoes", "Shoes/Boots")
    assert shoes.ends.tolist() == [0, 1, 2]
    assert shoes.ancestors.tolist() == [[0, -1], [1, -1], [1, 2]]


def test_order_is_by_code_points_of_levels_and_not_of_the_text() -> None:
    there = Taxonomy.of(["A B/x", "A/x", "a/x", "A-B/x"])
    assert there.paths == ("A/x", "A B/x", "A-B/x", "a/x")
    assert there.parents.tolist() == [-1, -1, -1, -1, 0, 1, 2, 3]


def test_the_version_is_of_the_paths_alone() -> None:
    assert Taxonomy.of(["B", "A", "A"]).version == Taxonomy.of(["A", "B"]).version
    assert Taxonomy.of(["A", "B"]) == Taxonomy.of(["B", "A"])
    versions = {Taxonomy.of(paths).version for paths in (["A", "B"], ["A/B", "B"], ["A", "B", "A/B"], ["A\n", "B"])}
    assert len(versions) == 4
    assert Taxonomy.of(["A", "B"]).version == "f2314439597c"  # it may not change from release to release


def test_nothing_of_it_can_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ATLAS.paths = ()  # type: ignore[misc]
    for array in (ATLAS.parents, ATLAS.levels, ATLAS.ends, ATLAS.ancestors, ATLAS.token_of):
        assert array.dtype == np.int64
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ([], "without a path"),
        (["A/B"], "'A/B' is the only path: a taxonomy with one path has nothing to choose"),
        (["A", "A"], "'A' is the only path"),
        (["A", ""], "'': an empty path"),
        (["A", " "], "' ': an empty path"),
        (["A", "A//B"], "path 'A//B': level 2 has no name"),
        (["A", "/B"], "path '/B': level 1 has no name"),
        (["A", "B/"], "path 'B/': level 2 has no name"),
        (["A%", "B", "A%25/C"], "'A%' and 'A%25' are two texts of one path"),
        ("AB", "several texts are wanted"),
    ],
)
def test_what_is_no_taxonomy_is_refused_in_one_line(paths: Any, said: str) -> None:
    with pytest.raises(ValueError, match="path") as refused:
        Taxonomy.of(paths)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("node", [-1, 60])
def test_a_node_that_is_not_there_has_no_children(node: int) -> None:
    with pytest.raises(ValueError, match="allowed is 0 to 59"):
        ATLAS.children(node)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    ATLAS.save(tmp_path / "models/taxonomy.json")
    assert Taxonomy.load(tmp_path / "models/taxonomy.json") == ATLAS
    assert json.loads((tmp_path / "models/taxonomy.json").read_text("utf-8"))["version"] == ATLAS.version


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        '{"paths": ["A", "B"]}',
        '{"version": "f2314439597c", "paths": ["A", "C"]}',
        '{"version": "f2314439597c", "paths": ["B", "A"]}',
        '{"version": "f2314439597c", "paths": ["A", 7]}',
        '{"version": "f2314439597c", "paths": "AB"}',
        "[" * 100_000,
    ],
)
def test_a_file_that_is_not_as_it_was_saved_is_damaged(tmp_path: Path, text: str) -> None:
    file = tmp_path / "taxonomy.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(Damaged, match=r"taxonomy\.json is damaged"):
        Taxonomy.load(file)


def test_a_taxonomy_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.json: no taxonomy"):
        Taxonomy.load(tmp_path / "none.json")
