"""Groups of products that look alike: which are one, and that whole ones validate."""

import numpy as np
import pytest

from visnet.sampling import alike

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]  # vectors, categories, and from which scene each comes


def scenes(rng: np.random.Generator, *, categories: int = 6, count: int = 9, size: float = 1.0) -> Rows:
    """Several photos of each of some scenes of each category: of one scene nearly equal, of two of them far apart."""
    centres = rng.normal(size=(categories * count, 16))
    photos = rng.integers(2, 6, len(centres))
    scene = np.repeat(np.arange(len(centres)), photos)
    vectors = size * (centres[scene] + 0.01 * rng.normal(size=(len(scene), 16)))
    order = rng.permutation(len(scene))
    return vectors[order].astype(np.float32), scene[order] // count, scene[order]


def named(count: int) -> list[str]:
    return [f"product {number:05}" for number in range(count)]


def test_photos_of_one_scene_are_in_one_group_and_a_group_is_of_one_category() -> None:
    vectors, category, scene = scenes(np.random.default_rng(3))
    group = alike.groups(vectors, category)
    for one in np.unique(scene):
        assert len({*group[scene == one]}) == 1
    for one in np.unique(group):
        assert len({*category[group == one]}) == 1
    assert len(np.unique(group)) == 6 * alike.GROUPS


def test_how_far_apart_a_network_puts_photos_changes_no_group() -> None:
    one, other = (scenes(np.random.default_rng(3), size=size) for size in (1.0, 1e-3))
    assert np.array_equal(alike.groups(*one[:2]), alike.groups(*other[:2]))


def test_of_a_large_category_what_is_not_compared_joins_the_nearest() -> None:
    rng = np.random.default_rng(5)
    vectors, category, scene = scenes(rng, categories=1, count=8)
    more = rng.integers(0, len(vectors), 3 * alike.COMPARED)
    vectors = (vectors[more] + 0.01 * rng.normal(size=(len(more), 16))).astype(np.float32)
    group = alike.groups(vectors, category[more])
    assert len(np.unique(group)) == 8
    assert all(len({*group[scene[more] == one]}) == 1 for one in np.unique(scene))


def test_whole_groups_validate_and_every_category_is_learnt() -> None:
    vectors, category, _ = scenes(np.random.default_rng(3))
    group = alike.groups(vectors, category)
    held = alike.kept_apart(group, category, named(len(group)), 0.15, seed=1)
    assert not {*group[held]} & {*group[~held]}, "a group is on one side"
    assert {*category[~held]} == {*category} == {*category[held]}
    assert held.mean() == pytest.approx(0.15, abs=0.02)


def test_equal_arguments_give_an_equal_split_in_whatever_order() -> None:
    vectors, category, _ = scenes(np.random.default_rng(3))
    names, order = np.array(named(len(category))), np.random.default_rng(8).permutation(len(category))
    group = alike.groups(vectors, category)
    held = [alike.kept_apart(group, category, names.tolist(), 0.15, seed=seed) for seed in (1, 1, 2)]
    assert np.array_equal(held[0], held[1])
    assert not np.array_equal(held[0], held[2])
    again = alike.kept_apart(group[order], category[order], names[order].tolist(), 0.15, seed=1)
    assert np.array_equal(again, held[0][order])


def test_a_category_of_one_group_is_learnt_whole() -> None:
    vectors = np.concatenate([np.ones((5, 4)), np.eye(4)]).astype(np.float32)
    category = np.repeat([0, 1], [5, 4])
    group = alike.groups(vectors, category)
    assert len({*group[:5]}) == 1, "photos that no network can tell apart"
    held = alike.kept_apart(group, category, named(9), 0.5, seed=1)
    assert not held[:5].any()
    assert 0 < held[5:].sum() < 4


def test_categories_of_few_products_give_one_in_turn() -> None:
    category = np.repeat(np.arange(50), 2)
    held = alike.kept_apart(np.arange(100), category, named(100), 0.12, seed=1)
    assert held.sum() == 12
    assert np.bincount(category[held]).max() == 1


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"needed are \[N, D\] and \[N\]"):
        alike.groups(np.ones((3, 2), np.float32), np.zeros(2, np.int64))
