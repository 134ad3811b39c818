"""visnet.categorizing.product_paths: several photos together are as sure as their mean, and one is as sure as it is."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.categorizing.test_answers import SHOES
from visnet.categorizing.answers import answers
from visnet.categorizing.product_paths import PhotoPath, bring_products, together
from visnet.storage.table import Table

BOOTS, CLOGS = "Shoes/Boots/High", "Shoes/Clogs"
LEVELS = {1: "ab", 2: "cd", 3: "ef"}


@st.composite
def photo(draw: st.DrawFn) -> PhotoPath:
    """A path of a small tree, with probabilities in eighths that never rise: sums of them are exact."""
    depth = draw(st.integers(1, 3))
    path = "/".join(draw(st.sampled_from(LEVELS[level])) for level in range(1, depth + 1))
    levels = sorted((draw(st.integers(0, 8)) / 8 for _ in range(depth)), reverse=True)
    return PhotoPath(path, levels)


@given(st.lists(photo(), min_size=1, max_size=4), st.integers(0, 8))
def test_each_level_is_the_likeliest_below_the_one_before_and_the_last_is_the_last_sure_one(
    photos: list[PhotoPath], eighths: int
) -> None:
    """Held against plain fractions of every node there is."""
    means: dict[tuple[str, ...], Fraction] = {}
    for one in photos:
        levels = one.path.split("/")
        for depth, probability in enumerate(one.level_probabilities, 1):
            node = tuple(levels[:depth])
            means[node] = means.get(node, Fraction(0)) + Fraction(probability) / len(photos)
    sure = Fraction(eighths, 8)
    path, probability = together(photos, float(sure))
    told = tuple(path.split("/")) if path else ()
    for depth in range(1, len(told) + 1):
        beside = {node: mean for node, mean in means.items() if node[:-1] == told[: depth - 1]}
        best = max(beside.values())
        assert told[:depth] == min(node for node, mean in beside.items() if mean == best)
        assert best >= sure
    below = [mean for node, mean in means.items() if node[:-1] == told]
    assert not below or max(below) < sure
    assert probability == pytest.approx(float(means.get(told, Fraction(0))))


def test_a_photo_alone_is_answered_as_it_is_itself() -> None:
    shares = np.random.default_rng(3).dirichlet(np.full(len(SHOES.paths), 0.3), 200)
    for sure in (0.0, 0.5, 0.8, 1.0):
        for own in answers(SHOES, shares, sure):
            path, probability = together([PhotoPath(own.path, own.level_probabilities)], sure)
            assert path == own.answer
            assert probability == (own.level_probabilities[own.told - 1] if path else 0)


def test_photos_that_contradict_each_other_are_told_as_far_as_they_agree() -> None:
    boots, clogs = PhotoPath(BOOTS, (1.0, 0.9, 0.9)), PhotoPath(CLOGS, (0.9, 0.9))
    assert together([boots, clogs], 0.6) == ("Shoes", pytest.approx(0.95))
    assert together([boots, boots, clogs], 0.6) == (BOOTS, pytest.approx(0.6))
    # The best leaf is of bags; two of three photos are of shoes.
    shoes = [PhotoPath(BOOTS, (1.0, 0.5, 0.5)), PhotoPath(CLOGS, (1.0, 0.45))]
    assert together([*shoes, PhotoPath("Bags", (0.9,))], 0.6) == ("Shoes", pytest.approx(2 / 3))
    assert together([boots, PhotoPath("Bags", (0.9,))], 0.6) == ("", 0.0)


def test_a_photo_that_is_told_no_path_counts_against_every_one() -> None:
    nothing = PhotoPath("", [])  # most of it is held by no node of a tree that changed
    assert together([nothing], 0.0) == ("", 0.0)
    assert together([nothing, PhotoPath(CLOGS, [1.0, 0.5])], 0.5) == ("Shoes", 0.5)


def test_no_photo_tells_nothing() -> None:
    with pytest.raises(ValueError, match="no photo"):
        together([], 0.5)


def test_only_products_none_of_whose_shop_photos_has_a_category_are_told_one(tmp_path: Path) -> None:
    rows = [  # crop, product, category, side, the photo's path
        ("c1", "lacking", "", "shop", BOOTS),
        ("c2", "lacking", None, "shop", CLOGS),
        ("c3", "lacking", "", "street", "Bags"),
        ("c4", "known", "Bags", "shop", BOOTS),
        ("c5", "known", "", "shop", BOOTS),
        ("c6", "unsure", "", "shop", BOOTS),
        ("c7", "unsure", "", "shop", "Bags"),
        ("c8", "street", "", "street", "Bags"),
    ]
    names = ["crop_id", "product_id", "category", "side", "path"]
    crops = pd.DataFrame(rows, columns=names)
    levels = [[0.9] * (path.count("/") + 1) for path in crops.pop("path")]
    said = pd.DataFrame({"path": [row[-1] for row in rows], "probabilities": levels, "taxonomy": "v1"})
    said.index = pd.Index(crops["crop_id"])
    table = Table(tmp_path / "told_categories.lance", "product_id")
    assert bring_products(crops, said, 0.6, table) == (2, 1)
    (told,) = table.opened().to_table().to_pylist()
    assert (told["product_id"], told["path"], told["photos"], told["taxonomy"]) == ("lacking", "Shoes", 2, "v1")
    assert told["probability"] == pytest.approx(0.9)

    version, digest = table.version, table.digest()
    assert bring_products(crops, said, 0.6, table) == (2, 1)
    assert (table.version, table.digest()) == (version, digest), "no difference, no commit"
    assert bring_products(crops, said, 0.4, table) == (2, 2)
    assert dict(zip(*table.read(["product_id", "path"]).to_pydict().values(), strict=True)) == {
        "lacking": "Shoes/Boots/High",  # of two that are equally likely the first by its text
        "unsure": "Bags",
    }
    known = crops.assign(category="Bags")
    assert bring_products(known, said, 0.4, table) == (0, 0)
    assert not table.path.exists()
    assert bring_products(crops.head(0), said, 0.4, table) == (0, 0)
