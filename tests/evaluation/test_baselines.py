"""What the evaluation measures, against plain loops over a small catalog, and where it could flatter a search."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from visnet.embedding.vectors import Vectors
from visnet.evaluation import baselines
from visnet.evaluation.metrics import MISS
from visnet.evaluation.ranks import product_ranks

Row = dict[str, str]


def catalog(seed: int, count: int = 60) -> Vectors:
    """Draw a catalog; product "1" of one category is not product "1" of another, and some colours are not known."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "crop_id": [f"crop {row:03d}" for row in range(count)],
            "product_id": rng.choice(["1", "2", "3", "4", "5"], count),
            "category": rng.choice(["bags", "belts", "hats"], count),
            "side": rng.choice(["shop", "shop", "street"], count),
            "colour": rng.choice(["", "blue", "red"], count),
        }
    )
    return Vectors(rows, torch.from_numpy(rng.normal(size=(count, 4)).astype(np.float32)), "drawn")


def placed(*rows: tuple[str, str, str, str, float]) -> Vectors:
    """Put crops (category, product, side, colour) on a line."""
    frame = pd.DataFrame([row[:4] for row in rows], columns=["category", "product_id", "side", "colour"])
    frame["crop_id"] = [str(number) for number in range(len(rows))]
    return Vectors(frame, torch.tensor([[row[4]] for row in rows]), "placed")


def pairs(vectors: Vectors) -> list[tuple[Row, list[float]]]:
    return list(zip(vectors.rows.to_dict("records"), vectors.matrix.double().tolist(), strict=True))


def same_product(one: Row, other: Row) -> bool:
    return (one["category"], one["product_id"]) == (other["category"], other["product_id"])


def nearest_others(vectors: Vectors, at: int, k: int, *, within_category: bool) -> list[Row]:
    """Rank the other products of the shop by their nearest photo, and return these photos' rows."""
    everything = pairs(vectors)
    mine, here = everything[at]
    best: dict[tuple[str, str], tuple[float, Row]] = {}
    for row, there in everything:
        if row["side"] != "shop" or same_product(row, mine):
            continue
        if within_category and row["category"] != mine["category"]:
            continue
        product, distance = (row["category"], row["product_id"]), math.dist(here, there)
        if product not in best or distance < best[product][0]:
            best[product] = (distance, row)
    return [row for _, row in sorted(best.values(), key=lambda found: found[0])[:k]]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("seed", range(5))
def test_agreement_is_what_a_loop_counts(seed: int) -> None:
    vectors = catalog(seed)
    asked = np.random.default_rng(seed + 100).random(len(vectors.rows)) < 0.5
    rows = vectors.rows.to_dict("records")
    askers = [at for at, row in enumerate(rows) if asked[at] and row["side"] == "shop"]
    colours, categories = [], []
    for at in askers:
        if rows[at]["colour"]:
            found = nearest_others(vectors, at, 3, within_category=True)
            colours += [row["colour"] == rows[at]["colour"] for row in found]
        found = nearest_others(vectors, at, 3, within_category=False)
        categories += [row["category"] == rows[at]["category"] for row in found]
    assert baselines.colour_agreement(vectors, asked, k=3) == pytest.approx(np.mean(colours))
    assert baselines.category_agreement(vectors, asked, k=3) == pytest.approx(np.mean(categories))


def test_category_agreement_of_a_line_by_hand() -> None:
    line = placed(
        ("bags", "1", "shop", "red", 0.0),  # nearest others: bags 2, hats 1
        ("bags", "1", "shop", "red", 0.1),  # its own product is no answer
        ("bags", "2", "shop", "blue", 1.0),  # bags 1, hats 1
        ("hats", "1", "shop", "", 3.0),  # bags 2, bags 1
        ("hats", "1", "street", "", 3.1),  # neither asks nor answers
    )
    everyone = np.ones(5, bool)
    assert baselines.category_agreement(line, everyone, k=1) == pytest.approx(3 / 4)
    assert baselines.category_agreement(line, everyone, k=2) == pytest.approx((1 + 1 + 1 + 0) / 8)
    assert baselines.category_agreement(line, everyone, k=50) == pytest.approx(3 / 8)
    assert baselines.category_agreement(line, np.array([False, False, False, True, True]), k=1) == 0.0
    assert math.isnan(baselines.category_agreement(line, np.array([False, False, False, False, True]), k=1))
    assert math.isnan(baselines.category_agreement(line.of(category="hats"), np.ones(2, bool)))  # one product


@pytest.mark.parametrize("seed", range(5))
def test_street_photos_find_those_of_their_product(seed: int) -> None:
    vectors = catalog(seed)
    street = [(row, at) for row, at in pairs(vectors) if row["side"] == "street"]
    firsts, averages = [], []
    for number, (mine, here) in enumerate(street):
        others = [(math.dist(here, there), row) for at, (row, there) in enumerate(street) if at != number]
        ranked = [same_product(row, mine) for _, row in sorted(others, key=lambda found: found[0])]
        if relevant := sum(ranked):
            firsts.append(ranked[0])
            precisions = [sum(ranked[: place + 1]) / (place + 1) for place in range(relevant) if ranked[place]]
            averages.append(sum(precisions) / relevant)
    assert 1 < len(firsts) < len(street), "a photo alone of its product asks nothing"
    recall, average = baselines.street_retrieval(vectors)
    assert recall == pytest.approx(np.mean(firsts))
    assert average == pytest.approx(np.mean(averages))


def test_street_photos_of_a_line_by_hand() -> None:
    line = placed(
        ("hats", "1", "street", "", 0.0),  # finds hats 2 first, then its own: precision 1/2 within R = 1 is none
        ("hats", "2", "street", "", 1.0),  # hats 1 (0.0), then hats 2 (2.5)
        ("hats", "1", "street", "", 6.0),  # bags 1 is not its product
        ("bags", "1", "street", "", 5.5),  # alone: nothing could answer
        ("hats", "2", "street", "", 2.4),  # hats 2
        ("hats", "1", "shop", "", 0.0),  # no street photo
    )
    assert baselines.street_retrieval(line) == (1 / 4, 1 / 4)
    assert all(map(math.isnan, baselines.street_retrieval(line.where(np.array([1, 0, 0, 0, 0, 1], bool)))))
    assert all(map(math.isnan, baselines.street_retrieval(line.where(np.array([1, 1, 0, 0, 0, 1], bool)))))


def test_a_changed_photo_finds_itself_among_the_shop_s() -> None:
    vectors = catalog(3)
    shop = [(row, at) for row, at in pairs(vectors) if row["side"] == "shop"]
    rng = np.random.default_rng(4)
    probes = rng.choice(len(shop), 20, replace=False)
    changed = np.array([shop[probe][1] for probe in probes]) + rng.normal(size=(20, 4))
    found = [min(shop, key=lambda one: math.dist(one[1], there))[0]["crop_id"] for there in changed.tolist()]
    names = np.array([shop[probe][0]["crop_id"] for probe in probes], dtype=object)
    share = float(np.mean([a == b for a, b in zip(found, names.tolist(), strict=True)]))
    assert 0.1 < share < 0.9, "such changes tell nothing"
    answer = baselines.recall_of_itself(torch.from_numpy(changed.astype(np.float32)), names, vectors)
    assert answer == pytest.approx(share)
    assert baselines.recall_of_itself(vectors.at(names.tolist()), names, vectors) == 1.0
    assert math.isnan(baselines.recall_of_itself(torch.empty(0, 4), names[:0], vectors))


def test_a_network_that_maps_all_photos_to_one_point_is_not_flattered() -> None:
    vectors = catalog(1)
    collapsed = Vectors(vectors.rows, torch.zeros_like(vectors.matrix), "collapsed")
    shop = vectors.of(side="shop").rows["crop_id"].to_numpy(object)
    assert baselines.recall_of_itself(torch.zeros(len(shop), 4), shop, collapsed) == pytest.approx(1 / len(shop))
    triplets = pd.DataFrame({"q": shop[:9], "p": shop[1:10], "n": shop[2:11]})
    assert baselines.triplet_accuracy(collapsed, triplets) == 0.0


class Squares(torch.utils.data.Dataset[Tensor]):
    """Photos with a white square somewhere on noise."""

    def __init__(self) -> None:
        draws = torch.Generator().manual_seed(0)
        self.photos = torch.randint(0, 200, (6, 3, 24, 24), dtype=torch.uint8, generator=draws)
        for number, photo in enumerate(self.photos):
            photo[:, 2 + number : 12 + number, 4:14] = 255

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, row: int) -> Tensor:
        return self.photos[row]


def test_changes_are_a_photo_s_own_whatever_is_asked_together() -> None:
    photos = Squares()
    changed = baselines.Changed(photos, seed=1)  # type: ignore[arg-type]
    together = changed.__getitems__(range(6))
    assert len(changed) == 6
    assert all(torch.equal(changed[row], photo) for row, photo in enumerate(together))
    assert torch.equal(changed.__getitems__([4, 2])[1], together[2])
    for row, photo in enumerate(together):
        assert photo.dtype == torch.uint8
        assert photo.shape == (3, 24, 24)
        assert not torch.equal(photo, photos[row])
        # A photo is recognised: it stays nearer to what it was than to most of the others.
        apart = [(photo.float() - other.float()).abs().mean().item() for other in photos.photos]
        assert sorted(apart).index(apart[row]) <= 3
    other = baselines.Changed(photos, seed=2)  # type: ignore[arg-type]
    assert not any(torch.equal(a, b) for a, b in zip(other.__getitems__(range(6)), together, strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_product_ranks_are_those_of_a_loop(seed: int) -> None:
    vectors = catalog(seed)
    queries = vectors.of(side="street").rows.rename(columns={"crop_id": "query_id"})
    street = queries[["query_id", "product_id", "category"]].reset_index(drop=True)
    wanted = []
    for query in street.to_dict("records"):
        here = vectors.at([query["query_id"]])[0].double().tolist()
        best: dict[str, float] = {}
        for row, there in pairs(vectors):
            if row["side"] == "shop" and row["category"] == query["category"]:
                best[row["product_id"]] = min(best.get(row["product_id"], math.inf), math.dist(here, there))
        order = sorted(best, key=lambda product: best[product])[:3]
        wanted.append(order.index(query["product_id"]) if query["product_id"] in order else MISS)
    queries = vectors.at(street["query_id"])
    assert product_ranks(vectors.of(side="shop"), street, queries, 3).tolist() == wanted
    assert {0, MISS} < set(wanted)


@pytest.mark.parametrize("seed", range(3))
def test_chance_is_what_vectors_drawn_at_random_agree_on(seed: int) -> None:
    vectors = catalog(seed)
    asked = np.random.default_rng(seed + 100).random(len(vectors.rows)) < 0.7
    draws = torch.Generator().manual_seed(seed)
    measured = [  # of all other products: among the nearest few, those of many photos are found more often
        baselines.colour_agreement(Vectors(vectors.rows, torch.randn(60, 4, generator=draws), "random"), asked, k=4)
        for _ in range(60)
    ]
    off_by = np.std(measured) / len(measured) ** 0.5
    assert off_by < 0.01
    assert baselines.random_colour_agreement(vectors, asked, k=4) == pytest.approx(np.mean(measured), abs=4 * off_by)


def test_chance_of_a_few_products_by_hand() -> None:
    shop = placed(
        ("hats", "1", "shop", "red", 0.0),  # of the two others, one is red, and one in half of its photos
        ("hats", "2", "shop", "red", 1.0),
        ("hats", "3", "shop", "red", 2.0),
        ("hats", "3", "shop", "blue", 3.0),  # no other is blue
        ("hats", "4", "street", "red", 0.0),
        ("bags", "1", "shop", "red", 0.0),  # has no other product
    )
    everyone = np.ones(6, bool)
    assert baselines.random_colour_agreement(shop, everyone) == pytest.approx((0.75 + 0.75 + 1.0 + 0.0) / 4)
    assert baselines.random_colour_agreement(shop, everyone & (shop.rows["colour"] == "blue").to_numpy()) == 0.0
    assert math.isnan(baselines.random_colour_agreement(shop.of(category="bags"), np.ones(1, bool)))
