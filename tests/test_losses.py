"""Losses, against plain Python loops over lists of numbers."""

import math

import pytest
import torch

from visnet.losses import LOSSES, batch_negatives, hinge, right_order, sq_distances, sq_hinge

TRIPLETS = torch.tensor([[0, 1, 2], [3, 4, 0], [5, 5, 1], [2, 6, 7], [0, 1, 7], [4, 3, 6]])
LABELS = torch.tensor([0, 0, 1, 2, 2, 3, 1, 4])


def embeddings(seed: int = 0, scale: float = 0.5) -> torch.Tensor:
    drawn = torch.randn(8, 5, generator=torch.Generator().manual_seed(seed)) * scale
    drawn[7] = drawn[2]  # two equal photos of different products
    return drawn


def loop_distance(a: list[float], b: list[float], *, sq: bool) -> float:
    total = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    return total if sq else math.sqrt(total)


@pytest.mark.parametrize(("name", "sq"), [("sq_hinge", True), ("hinge", False)])
@pytest.mark.parametrize("margin", [0.0009, 0.2, 1.0])
def test_given_negatives_follow_a_plain_loop(name: str, sq: bool, margin: float) -> None:
    x = embeddings()
    rows = x.tolist()
    expected = [
        max(0.0, loop_distance(rows[q], rows[p], sq=sq) - loop_distance(rows[q], rows[n], sq=sq) + margin)
        for q, p, n in TRIPLETS.tolist()
    ]
    assert any(value == 0 for value in expected) or margin == 1.0
    assert any(value > 0 for value in expected)
    found = LOSSES[name](x, TRIPLETS, LABELS, margin=margin)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("sq", [True, False])
@pytest.mark.parametrize("margin", [0.05, 1.0])
def test_batch_negatives_follow_a_plain_loop(sq: bool, margin: float) -> None:
    x = embeddings(3)
    rows, labels = x.tolist(), LABELS.tolist()
    expected = []
    for q, p, _ in TRIPLETS.tolist():
        near = loop_distance(rows[q], rows[p], sq=sq)
        values = [
            near - loop_distance(rows[q], rows[n], sq=sq) + margin for n in range(len(rows)) if labels[n] != labels[q]
        ]
        active = [value for value in values if value > 0]
        expected.append(sum(active) / len(active) if active else 0.0)
    assert max(expected) > 0
    found = batch_negatives(x, LABELS, TRIPLETS[:, :2], margin=margin, sq=sq)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-5)
    by_name = (sq_hinge if sq else hinge)(x, TRIPLETS, LABELS, margin=margin, negatives="batch")
    torch.testing.assert_close(by_name, found, rtol=0, atol=0)


def test_a_pair_without_photos_of_another_product_costs_nothing() -> None:
    x = embeddings().requires_grad_()
    found = batch_negatives(x, torch.zeros(8, dtype=torch.int64), TRIPLETS[:, :2], margin=1.0)
    assert found.tolist() == [0.0] * len(TRIPLETS)
    found.sum().backward()
    assert x.grad is not None
    assert bool((x.grad == 0).all())


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("negatives", ["given", "batch"])
def test_equal_photos_give_finite_gradients(name: str, negatives: str) -> None:
    for same in (torch.zeros(8, 5), torch.ones(8, 5)):  # all distances are zero, and all triplets active
        x = same.clone().requires_grad_()
        values = LOSSES[name](x, TRIPLETS, LABELS, margin=0.5, negatives=negatives)
        values.sum().backward()
        torch.testing.assert_close(values, torch.full((len(TRIPLETS),), 0.5), rtol=1e-5, atol=1e-5)
        assert x.grad is not None
        assert bool(torch.isfinite(x.grad).all())


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("negatives", ["given", "batch"])
def test_half_precision_embeddings_are_measured_in_float32(name: str, negatives: str) -> None:
    x = embeddings(1, scale=200.0)  # squared distances beyond what float16 can hold
    found = LOSSES[name](x.half(), TRIPLETS, LABELS, margin=1.0, negatives=negatives)
    assert found.dtype == torch.float32
    assert bool(torch.isfinite(found).all())
    expected = LOSSES[name](x.half().float(), TRIPLETS, LABELS, margin=1.0, negatives=negatives)
    torch.testing.assert_close(found, expected)


def test_right_order_wants_strictly_nearer() -> None:
    x = torch.tensor([[0.0], [1.0], [-1.0], [3.0]])
    triplets = torch.tensor([[0, 1, 3], [0, 3, 1], [0, 1, 2], [0, 0, 1]])
    assert right_order(x, triplets).tolist() == [True, False, False, True]
    near, far = sq_distances(x, triplets)
    assert near.tolist() == [1.0, 9.0, 1.0, 0.0]
    assert far.tolist() == [9.0, 1.0, 1.0, 1.0]


def test_gradients_agree_with_finite_differences() -> None:
    x = embeddings(5).double()[:7]  # without the pair of equal photos, where the plain distance has a kink
    triplets = TRIPLETS[torch.tensor([0, 1, 5])]

    def numeric(loss: object, kind: str) -> torch.Tensor:
        slopes = torch.zeros_like(x)
        for at in range(x.numel()):
            step = torch.zeros(x.numel())
            step[at] = 1e-2
            up, down = (
                LOSSES[str(loss)](
                    (x + sign * step.view_as(x)).float(), triplets, LABELS[:7], margin=1.0, negatives=kind
                )
                for sign in (1, -1)
            )
            slopes.view(-1)[at] = (up - down).double().sum() / 2e-2
        return slopes

    for name in LOSSES:
        for kind in ("given", "batch"):
            y = x.float().requires_grad_()
            LOSSES[name](y, triplets, LABELS[:7], margin=1.0, negatives=kind).sum().backward()
            assert y.grad is not None
            torch.testing.assert_close(y.grad.double(), numeric(name, kind), rtol=0.05, atol=0.02)
