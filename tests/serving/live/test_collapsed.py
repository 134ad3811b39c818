"""Double listings stay collapsed, exactly, while products are written: by a plain loop over the catalog as changed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import refreshing
from tests.serving.app.running import search
from tests.serving.live import fed
from tests.serving.live.truth import Truth, same
from visnet.client import Client
from visnet.duplicates import files

GROUPS = {"p001": "one", "p003": "one", "p004": "one", "p006": "other", "p008": "other", "p010": "other"}
ANY = {"column": "category", "in": ["bag", "hat"]}
STEPS = 12


class Listings(Truth):
    """The truth, and which products are still of the groups that were confirmed: those with all their photos."""

    def __init__(self, shop: Path) -> None:
        super().__init__(shop)
        self.groups = dict(GROUPS)

    def collapsed(self, ranked: list[tuple[str, float]], own: str = "") -> list[tuple[str, float]]:
        """Leave the first product of each group, and none of a product's own."""
        found: dict[str, tuple[str, float]] = {}
        for name, distance in ranked:
            found.setdefault(self.groups.get(name, name), (name, distance))
        found.pop(self.groups.get(own, own), None)
        return list(found.values())


def told(answer: dict[str, Any]) -> list[tuple[str, float]]:
    return [(one["product_id"], one["sq_distance"]) for one in answer["results"]]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("seed", [1, 2])
def test_of_a_group_one_answers_while_its_products_change(
    shop: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visnet.serving.app.search.SIZES", tuple(range(1, 2048)))  # no search goes deeper than asked
    monkeypatch.setattr("visnet.serving.live.merging.MORE", 1)
    files.write(shop / "data/duplicates", GROUPS)
    refreshing.refresh(shop, "publish")
    truth, rng = Listings(shop), np.random.default_rng(seed)

    def step(client: Client, at: int) -> None:
        name, doing = str(rng.choice([*GROUPS, "p015", "new"])), rng.choice(["delete", "same photos", "others", "more"])
        kept = [shop / "images" / f"{name}-0-{photo}.png" for photo in range(2)]
        if doing == "delete" or (doing != "others" and name == "new"):
            truth.delete(name)
            client.delete(name)
            return
        photos = [path.read_bytes() for path in kept] if doing != "others" else []
        added = [fed.picture(shop, f"{name} {at}", 0)] if doing != "same photos" else []
        truth.put(name, "hat", photos + added)
        if doing == "others":
            truth.groups.pop(name, None)
        elif name in GROUPS:
            truth.groups[name] = GROUPS[name]
        client.wait(
            client.put(name, {"category": "hat", "photos": [path.name for path in kept][: len(photos)]}, *added).batch
        )

    with fed.writing(shop) as (http, client):
        for at in range(STEPS):
            step(client, at)
            asked = fed.picture(shop, str(rng.choice([*GROUPS, "far"])), at)
            for category in (None, "hat"):
                fields: dict[str, Any] = {"collapse": "duplicates"} | ({"category": category} if category else {})
                every = truth.ranked([truth.vector(asked)], category)
                wanted = truth.collapsed(every)
                found = search(http, asked, limit=2048, **fields).json()
                same(told(found), wanted)
                assert found["total"] == len(wanted)
                assert sum(len(one["also"]) for one in found["results"]) == len(every) - len(wanted)
                same(told(search(http, asked, limit=3, offset=2, **fields).json()), wanted[2:5])
            for own in sorted(GROUPS.keys() & truth.vectors.keys()):
                others = truth.collapsed(truth.ranked(truth.vectors[own]), own)
                alike = client.similar(own, filter=ANY, collapse="duplicates", limit=2048)
                same([(one.product_id, one.sq_distance) for one in alike.results], others)
                assert alike.total == len(others)
                of_own = truth.ranked(truth.vectors[own], truth.category[own])
                listed = client.similar(own, collapse="duplicates").results
                same([(one.product_id, one.sq_distance) for one in listed], truth.collapsed(of_own, own)[:3])
