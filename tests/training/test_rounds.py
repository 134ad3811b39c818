"""Rounds of mined negatives."""

from pathlib import Path

import numpy as np
import torch

from tests.training.toy import SHAPES, TRAIN, Diary, Tiny
from visnet import zoo
from visnet.embedding.embed import embed
from visnet.training import TripletSet, rounds


def test_a_mined_round_takes_the_asked_band_of_the_nearest_products(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Tiny().eval()
    asked = zoo.Rounds(every_epochs=1, first=3, last=5, share=0.5)
    data = TripletSet(SHAPES, TRAIN, TRAIN[:0], SHAPES.labels)
    made = rounds.mine(model, data, asked, np.random.default_rng(1), batch=8, workers=0, log=Diary())
    assert np.array_equal(made.triplets[:, :2], TRAIN[:, :2])
    changed = (made.triplets[:, 2] != TRAIN[:, 2]).mean()
    assert 0.3 < changed < 0.6
    embeddings = torch.cat([vectors for _, vectors in embed(model, SHAPES, batch=8, device="cpu")]).double()
    photos = np.unique(TRAIN)
    wrong, ranks = 0, set()
    for before, (q, p, n) in zip(TRAIN, made.triplets, strict=True):
        if n == before[2]:
            continue
        sq = (embeddings[photos] - embeddings[q]).square().sum(1)
        best: dict[int, tuple[float, int]] = {}
        for photo, distance in zip(photos.tolist(), sq.tolist(), strict=True):
            product = int(SHAPES.labels[photo])
            if product != SHAPES.labels[q]:
                best[product] = min(best.get(product, (9e9, 0)), (distance, photo))
        order = [photo for _, photo in sorted(best.values())]
        assert n in order[2:5]
        ranks.add(order.index(n) + 1)
        wrong += bool((embeddings[q] - embeddings[n]).norm() <= (embeddings[q] - embeddings[p]).norm())
    assert ranks == {3, 4, 5}
    assert abs(made.wrong - wrong) <= 3  # of those whose negative stayed the same by chance
    beyond = zoo.Rounds(every_epochs=1, first=16, last=50)
    none = rounds.mine(model, data, beyond, np.random.default_rng(1), batch=8, workers=0, log=Diary())
    assert none.mined == 0  # there are 16 products to train on: a query has fifteen others
    assert np.array_equal(none.triplets, TRAIN)
