"""Which pairs are compared: all that a loop over every pair finds, and after a change those of the new photos alone."""

import numpy as np
import pytest
import torch

from tests.duplicates.pictures import MADE, drawn, stacked
from visnet.duplicates import candidates
from visnet.duplicates.candidates import hash_pairs, hashed_like, nearest_pairs, vector_pairs
from visnet.duplicates.views import VIEWS, hashes


@pytest.mark.parametrize(
    "made", ["saved again", "smaller", "squashed", "brighter", "mirrored", "upside down", "beside another"]
)
def test_hashes_of_copies_are_near(made: str) -> None:
    pictures = [drawn(seed) for seed in range(6)]
    found = hash_pairs(hashes(stacked([*pictures, *map(MADE[made], pictures)])), np.ones(12, bool))
    assert sum((one, one + 6) in set(map(tuple, found.tolist())) for one in range(6)) >= 5


def test_hashed_pairs_are_those_of_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "HASHED_AT_ONCE", 64)  # many blocks
    rng = np.random.default_rng(1)
    some = rng.integers(0, 2**64, 5, np.uint64)
    found = some[rng.integers(0, 5, (30, len(VIEWS)))] ^ np.uint64(1) << rng.integers(
        0, 64, (30, len(VIEWS)), np.uint64
    )
    found[rng.random(found.shape) < 0.8] = 0  # of what shows nothing
    new = rng.random(30) < 0.4

    def near(a: int, b: int) -> bool:
        return any(
            view and whole and int(view ^ whole).bit_count() <= 2
            for one, other in ((a, b), (b, a))
            for view in found[one]
            for whole in (found[other, 0],)
        )

    wanted = [[a, b] for a in range(30) for b in range(a + 1, 30) if (new[a] or new[b]) and near(a, b)]
    assert wanted
    assert hash_pairs(found, new, 2).tolist() == wanted
    assert hash_pairs(found, np.zeros(30, bool), 2).tolist() == []


def test_embedded_pairs_of_some_and_of_all_agree() -> None:
    made = torch.Generator().manual_seed(2)
    vectors = torch.randn(60, 8, generator=made)
    vectors[30:] = 3 * vectors[:30] + 0.2 * torch.randn(30, 8, generator=made)
    unit = torch.nn.functional.normalize(vectors)
    close = torch.triu(torch.cdist(unit, unit).square() <= 0.1, diagonal=1)
    every = vector_pairs(vectors, np.ones(60, bool), 0.1)
    assert every.tolist() == close.nonzero().tolist()
    new = np.arange(60) % 3 == 0
    assert vector_pairs(vectors, new, 0.1).tolist() == [[a, b] for a, b in every.tolist() if new[a] or new[b]]
    best = nearest_pairs(vectors, every, 5)
    gaps = (unit[every[:, 0]] - unit[every[:, 1]]).square().sum(1)
    assert len(best) == 5
    assert {*map(tuple, best.tolist())} == {*map(tuple, every[gaps.argsort()[:5].numpy()].tolist())}


def test_one_photo_meets_those_that_it_is_paired_with() -> None:
    rng = np.random.default_rng(5)
    hashes = rng.integers(1, 2**63, (300, len(VIEWS)), np.uint64)
    for row in range(0, 200, 4):  # a view of one, or the whole, is nearly the whole, or a view, of another
        bits = sum(1 << int(bit) for bit in rng.choice(64, rng.integers(6, 14), replace=False))
        one, view = hashes[row], int(rng.integers(len(VIEWS)))
        hashes[row + 1, 0 if row % 8 else view] = one[view if row % 8 else 0] ^ np.uint64(bits)
    for row in range(0, 300, 3):
        new = np.arange(len(hashes)) == row
        paired = {int(other) for pair in hash_pairs(hashes, new) for other in pair if other != row}
        assert set(hashed_like(hashes[row], hashes).tolist()) - {row} == paired
