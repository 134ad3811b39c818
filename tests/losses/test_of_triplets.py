"""Losses of one triplet and of the batch's negatives, against plain loops and pytorch-metric-learning."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pytorch_metric_learning import distances, losses, miners, reducers
from torch import Tensor
from torch.nn import functional

from tests.losses.batch import (
    HINGES,
    LABELS,
    TAN_30,
    TRIPLETS,
    WITH_WEIGHTS,
    Row,
    embeddings,
    loss_of,
    sigmoid,
    sq,
)
from visnet.losses import LOSSES, PER_TRIPLET, batch_negatives, mined_negatives

OF_ONE: list[tuple[str, dict[str, Any], Callable[[Row, Row, Row], float]]] = [
    ("sq_hinge", {"margin": 0.0009}, lambda q, p, n: max(0, sq(q, p) - sq(q, n) + 0.0009)),
    ("sq_hinge", {}, lambda q, p, n: max(0, sq(q, p) - sq(q, n) + 0.2)),
    ("sq_hinge", {"swap": "nearer"}, lambda q, p, n: max(0, sq(q, p) - min(sq(q, n), sq(p, n)) + 0.2)),
    (
        "sq_hinge",
        {"swap": "both"},
        lambda q, p, n: max(0, sq(q, p) - sq(q, n) + 0.2) + max(0, sq(q, p) - sq(p, n) + 0.2),
    ),
    ("hinge", {"margin": 0.2}, lambda q, p, n: max(0, math.dist(q, p) - math.dist(q, n) + 0.2)),
    (
        "hinge",
        {"margin": 0.1, "swap": "nearer"},
        lambda q, p, n: max(0, math.dist(q, p) - min(math.dist(q, n), math.dist(p, n)) + 0.1),
    ),
    (
        "hinge",
        {"margin": 0.1, "swap": "both"},
        lambda q, p, n: sum(max(0, math.dist(q, p) - math.dist(s, n) + 0.1) for s in (q, p)),
    ),
    ("contrastive", {"margin": 1.5}, lambda q, p, n: 0.5 * (sq(q, p) + max(0, 1.5 - math.dist(q, n)) ** 2)),
    (
        "lossless",
        {"sq_limit": 3.0, "eps": 1e-3},
        lambda q, p, n: -math.log(1 - min(sq(q, p), 3) / 3 + 1e-3) - math.log(1 - (3 - min(sq(q, n), 3)) / 3 + 1e-3),
    ),
    (
        "softpn",
        {"temperature": 0.4},
        lambda q, p, n: sigmoid((math.dist(q, p) - min(math.dist(q, n), math.dist(p, n))) / 0.4) ** 2,
    ),
    ("softmax_ratio", {}, lambda q, p, n: sigmoid(math.dist(q, p) - math.dist(q, n)) ** 2),
    (
        "angular",
        {"alpha_deg": 30.0},
        lambda q, p, n: max(0, sq(q, p) - 4 * TAN_30**2 * sq(n, [(a + b) / 2 for a, b in zip(q, p, strict=True)])),
    ),
]


@pytest.mark.parametrize(("name", "parameters", "plain"), OF_ONE, ids=[f"{name}-{p}" for name, p, _ in OF_ONE])
def test_a_triplet_costs_what_a_plain_loop_says(name: str, parameters: dict[str, Any], plain: Any) -> None:
    distinct: set[float] = set()
    for seed in range(3):
        x = embeddings(seed)
        rows = x.tolist()
        expected = [plain(rows[q], rows[p], rows[n]) for q, p, n in TRIPLETS.tolist()]
        distinct |= set(expected)
        found = loss_of(name, parameters)(x, TRIPLETS, LABELS)
        torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=2e-6)
    assert len(distinct) > 4  # not all clamped to zero


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in WITH_WEIGHTS])
def test_per_triplet_losses_are_those_that_other_photos_do_not_change(name: str) -> None:
    x = embeddings(1)
    moved = x.clone()
    moved[[5, 6]] += 0.3  # neither is in the first two triplets
    before, after = (loss_of(name, {})(photos, TRIPLETS[:2], LABELS) for photos in (x, moved))
    assert torch.equal(before, after) == (name in PER_TRIPLET)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("swap", ["none", "nearer"])
def test_hinges_agree_with_pytorch_metric_learning(power: int, swap: str) -> None:
    # There, the squared distance is power = 2, and swap=True takes the nearer of (q, n) and (p, n).
    measure = distances.LpDistance(normalize_embeddings=False, power=power)
    peer = losses.TripletMarginLoss(0.3, swap == "nearer", distance=measure, reducer=reducers.DoNothingReducer())
    x = embeddings(2)
    expected = peer(x, LABELS, TRIPLETS.unbind(1))["loss"]["losses"]
    found = loss_of("hinge" if power == 1 else "sq_hinge", {"margin": 0.3, "swap": swap})(x, TRIPLETS, LABELS)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6)


def test_the_swapped_hinge_is_that_of_torch() -> None:
    x = embeddings(2)
    q, p, n = x[TRIPLETS].unbind(1)
    expected = functional.triplet_margin_loss(q, p, n, margin=0.7, swap=True, reduction="none")
    found = loss_of("hinge", {"margin": 0.7, "swap": "nearer"})(x, TRIPLETS, LABELS)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)  # torch adds 1e-6 to each difference


def test_contrastive_agrees_with_pytorch_metric_learning() -> None:
    # There, a pair's loss is the distance inside its margin; ours is half its square, (q, p) and (q, n) together.
    measure = distances.LpDistance(normalize_embeddings=False)
    peer = losses.ContrastiveLoss(0.0, 1.2, distance=measure, reducer=reducers.DoNothingReducer())
    x = embeddings(4)
    parts = peer(x, LABELS, TRIPLETS.unbind(1))
    expected = (parts["pos_loss"]["losses"].square() + parts["neg_loss"]["losses"].square()) / 2
    found = loss_of("contrastive", {"margin": 1.2})(x, TRIPLETS, LABELS)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_angular_agrees_with_pytorch_metric_learning() -> None:
    # On unit vectors d²(q, p) − 4 tan²α d²(n, c) = f + 2 − 6 tan²α; with one negative, the peer gives log(1 + exp f).
    sq_tan = math.tan(math.radians(20)) ** 2
    peer = losses.AngularLoss(20, reducer=reducers.DoNothingReducer())
    x = functional.normalize(embeddings(5).double())
    expected = []
    for q, p, n in TRIPLETS.tolist():
        pair = torch.tensor([0]), torch.tensor([1]), torch.tensor([0]), torch.tensor([2])
        value = peer(x[[q, p, n]], torch.tensor([0, 0, 1]), pair)["loss"]["losses"].item()
        expected.append(max(0.0, math.log(math.expm1(value)) + 2 - 6 * sq_tan))
    assert sum(value > 0 for value in expected) >= 2
    found = loss_of("angular", {"alpha_deg": 20.0})(x, TRIPLETS, LABELS)
    torch.testing.assert_close(found.tolist(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("sq_distance", [True, False])
@pytest.mark.parametrize("margin", [0.05, 1.0])
def test_batch_negatives_follow_a_plain_loop(sq_distance: bool, margin: float) -> None:
    x = embeddings(3)
    rows, labels = x.tolist(), LABELS.tolist()
    measure = sq if sq_distance else math.dist
    expected = []
    for q, p, _ in TRIPLETS.tolist():
        near = measure(rows[q], rows[p])
        values = [near - measure(rows[q], rows[n]) + margin for n in range(len(rows)) if labels[n] != labels[q]]
        active = [value for value in values if value > 0]
        expected.append(sum(active) / len(active) if active else 0.0)
    assert max(expected) > 0
    found = batch_negatives(x, LABELS, TRIPLETS[:, :2], margin=margin, sq=sq_distance)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-5)
    name = "sq_hinge" if sq_distance else "hinge"
    assert torch.equal(loss_of(name, {"margin": margin, "negatives": "batch"})(x, TRIPLETS, LABELS), found)


def mined_by_loop(x: Tensor, labels: list[int], q: int, p: int, kind: str) -> int:
    rows = x.tolist()
    other = [n for n in range(len(rows)) if labels[n] != labels[q]]
    if not other:
        return -1
    far = {n: math.dist(rows[q], rows[n]) for n in other}
    beyond = [n for n in other if far[n] > math.dist(rows[q], rows[p])]
    if kind == "semi_hard" and not beyond:
        return max(other, key=far.__getitem__)
    return min(beyond if kind == "semi_hard" else other, key=far.__getitem__)


@pytest.mark.parametrize("kind", ["hard", "semi_hard"])
def test_mined_negatives_follow_a_plain_loop(kind: Any) -> None:
    expected, found = [], []
    for seed in range(6):
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(seed))
        x[0] += 4.0  # far from its positive: no photo of another product is farther than that
        expected += [mined_by_loop(x, LABELS.tolist(), q, p, kind) for q, p, _ in TRIPLETS.tolist()]
        mined = mined_negatives(x, LABELS, TRIPLETS[:, :2], kind=kind)
        found += mined.tolist()
        given = torch.cat((TRIPLETS[:, :2], mined[:, None]), 1)
        for name in HINGES:
            values = loss_of(name, {"negatives": kind})(x, TRIPLETS, LABELS)
            assert torch.equal(values, loss_of(name, {})(x, given, LABELS))
    assert found == expected


def test_semi_hard_is_not_hard_and_falls_back_to_the_farthest() -> None:
    x = torch.tensor([[0.0], [2.0], [1.0], [3.0], [5.0], [-9.0]])
    labels = torch.tensor([0, 0, 1, 1, 2, 0])
    pairs = torch.tensor([[0, 1], [1, 0], [0, 5], [0, 0]])
    assert mined_negatives(x, labels, pairs, kind="hard").tolist() == [2, 2, 2, 2]
    assert mined_negatives(x, labels, pairs, kind="semi_hard").tolist() == [3, 4, 4, 2]
    x[3] = x[1]  # equal to the positive is not farther
    assert mined_negatives(x, labels, pairs[:1], kind="semi_hard").tolist() == [4]


@pytest.mark.parametrize("positives", ["easy", "hard"])
def test_mined_negatives_are_those_of_pytorch_metric_learning(positives: str) -> None:
    # Its miner picks a positive per photo as well, and drops photos that have no semi-hard negative.
    x = torch.randn(24, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(24) // 3
    measure = distances.LpDistance(normalize_embeddings=False)
    for theirs, ours in (("hard", "hard"), ("semihard", "semi_hard")):
        mine = miners.BatchEasyHardMiner(positives, theirs, distance=measure)
        query, positive, _, negative = mine(x, labels)
        assert len(query) >= 8
        found = mined_negatives(x, labels, torch.stack((query, positive), 1), kind=ours)  # type: ignore[arg-type]
        assert torch.equal(found, negative)
