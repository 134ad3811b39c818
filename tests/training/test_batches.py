"""Batches: what an epoch and a batch hold, whoever reads them."""

import numpy as np
import pytest
import torch

from tests.training.toy import SHAPES, TRAIN
from visnet.training.batches import PlannedBatches
from visnet.training.epochs import EpochReader
from visnet.training.plans import ByProduct, ByTriplet


def batches() -> PlannedBatches:
    return PlannedBatches(SHAPES, SHAPES.labels, ByTriplet(TRAIN, per_batch=16, seed=7), seed=7)


def test_an_epoch_has_every_triplet_once_and_a_batch_every_photo_once() -> None:
    plain = batches()
    for epoch in (0, 1):
        seen = []
        for number in range(plain.plan.batches):
            batch = plain[epoch, number]
            assert len(batch.photos) == len({photo.numpy().tobytes() for photo in batch.photos})
            assert 14 <= len(batch.triplets) <= 16
            for rows in batch.triplets.tolist():
                found = [int((SHAPES.photos == batch.photos[row]).all((1, 2, 3)).nonzero()) for row in rows]
                assert [SHAPES.labels[row] for row in found] == batch.labels[rows].tolist()
                seen.append(tuple(found))
        assert sorted(seen) == sorted(map(tuple, TRAIN.tolist()))
    assert not torch.equal(plain[0, 0].labels[:5], plain[1, 0].labels[:5])


def test_a_batch_is_the_same_whoever_reads_it_and_when() -> None:
    there = batches()[1, 3]
    fresh = batches()
    fresh[0, 0], fresh[1, 2]
    here = fresh[1, 3]
    for one, other in zip(there, here, strict=True):
        assert torch.equal(one, other)
    read = list(EpochReader(workers=1, pin_memory=False).read(batches(), epoch=1, first=3))
    assert [number for number, _ in read] == list(range(3, 10))
    assert torch.equal(read[0][1].photos, there.photos)


def test_processes_share_an_epoch_evenly() -> None:
    readers = [EpochReader(workers=0, pin_memory=False, rank=rank, ranks=3) for rank in range(3)]
    shares = [[number for number, _ in reader.read(batches(), epoch=0, first=3)] for reader in readers]
    assert shares == [[3, 6], [4, 7], [5, 8]]  # of ten batches the last is nobody's
    assert readers[0].length(batches()) == 9


def test_workers_live_on_as_long_as_the_batches_are_the_same() -> None:
    reader, plain = EpochReader(workers=1, pin_memory=False), batches()
    first, second = (reader.read(plain, epoch) for epoch in (0, 1))
    (_, one), *_ = first
    loader = reader._loader
    (_, two), *_ = second
    assert reader._loader is loader
    assert not torch.equal(one.labels, two.labels)
    other = PlannedBatches(SHAPES, SHAPES.labels, ByTriplet(TRAIN[::-1].copy(), per_batch=16, seed=7), seed=7)
    (_, three), *_ = reader.read(other, epoch=1)
    assert torch.equal(three.photos, other[1, 0].photos)


def test_batches_of_products_take_every_product_as_often_and_both_sides() -> None:
    photos = np.array([5, 2, 9, 1, 4, 7, 3])  # product 3 has one photo, and is left out
    labels = np.repeat(np.arange(7), photos)
    street = np.concatenate([np.arange(count) > 0 for count in photos])  # each product's first photo is the shop's
    plan = ByProduct(np.arange(len(labels)), labels, street, products=4, photos=3, seed=5)
    assert plan.batches == round(30 / 12)
    counts = np.zeros(7, int)
    for epoch in range(30):
        for number in range(plan.batches):
            rows, triplets = plan.rows(epoch, number)
            assert len(set(rows.tolist())) == len(rows)
            there, sizes = np.unique(labels[rows], return_counts=True)
            assert len(there) == 4
            assert sizes.tolist() == np.minimum(photos[there], 3).tolist()
            assert all((~street[rows[labels[rows] == product]]).sum() == 1 for product in there)
            q, p, n = triplets.T
            assert len(triplets) == (sizes * (sizes - 1)).sum() == len({(a, b) for a, b, _ in triplets.tolist()})
            assert (q != p).all()
            assert (labels[rows[q]] == labels[rows[p]]).all()
            assert (labels[rows[q]] != labels[rows[n]]).all()
            counts[there] += 1
    assert counts[3] == 0
    assert np.ptp(np.delete(counts, 3)) <= 30  # at most once an epoch more than another
    again = ByProduct(np.arange(len(labels)), labels, street, products=4, photos=3, seed=5).rows(29, 1)
    assert all(np.array_equal(a, b) for a, b in zip(again, plan.rows(29, 1), strict=True))
    with pytest.raises(ValueError, match=r"2 products with 2 photos each, and there are 1; .* alike = 'colour'"):
        ByProduct(np.arange(6), np.array([0, 0, 1, 2, 3, 4]), street, products=4, photos=3, seed=5)
