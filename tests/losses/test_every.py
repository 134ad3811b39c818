"""What holds of every loss: gradients, half precision, degenerate batches, limits of parameters."""

import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from tests.losses.batch import (
    CASES,
    HINGES,
    LABELS,
    TRIPLETS,
    WITH_WEIGHTS,
    embeddings,
    loss_of,
    slopes,
)
from visnet.losses import LOSSES, PER_TRIPLET, right_order, sq_distances
from visnet.zoo import strict


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_gradients_agree_with_finite_differences(name: str, parameters: dict[str, Any]) -> None:
    # Without the photo that equals another, where distances have a kink; float64 is computed in float64.
    x = embeddings(5)[:7].double().requires_grad_()
    loss = loss_of(name, parameters)
    triplets = TRIPLETS[torch.tensor([0, 1, 5])]
    assert loss(x, triplets, LABELS[:7]).sum().item() > 0
    assert torch.autograd.gradcheck(lambda photos: loss(photos, triplets, LABELS[:7]), (x,))


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_equal_photos_give_finite_values_and_gradients(name: str, parameters: dict[str, Any]) -> None:
    for same in (torch.zeros(8, 5), torch.ones(8, 5), torch.eye(5)[[0] * 8], embeddings(), embeddings()[[0] * 8]):
        values, slope = slopes(name, parameters, same)
        assert bool(torch.isfinite(values).all())
        assert bool(torch.isfinite(slope).all())


def test_a_hinge_on_equal_photos_is_its_margin() -> None:
    for name in HINGES:
        for negatives in ("given", "batch", "hard", "semi_hard"):
            values, _ = slopes(name, {"margin": 0.5, "negatives": negatives}, torch.ones(8, 5))
            torch.testing.assert_close(values, torch.full((len(TRIPLETS),), 0.5), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 200.0, 1e4])  # the smallest step of float16 to beyond its squares
@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_half_precision_embeddings_are_measured_in_float32(name: str, parameters: dict[str, Any], scale: float) -> None:
    half = embeddings(1, scale).half()
    values, slope = slopes(name, parameters, half)
    assert values.dtype == torch.float32
    assert bool(torch.isfinite(values).all())
    expected, wide_slope = slopes(name, parameters, half.float())
    assert torch.equal(values, expected)
    assert bool(torch.isfinite(wide_slope).all())
    if float(wide_slope.abs().max()) < 6e4:  # what float16 can hold
        torch.testing.assert_close(slope, wide_slope.half(), rtol=0, atol=0)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_autocast_changes_nothing(name: str, parameters: dict[str, Any]) -> None:
    x = embeddings(1)
    expected = loss_of(name, parameters)(x, TRIPLETS, LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss_of(name, parameters)(x, TRIPLETS, LABELS), expected)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        *((name, {"margin": 1.0, "negatives": kind}) for name in HINGES for kind in ("batch", "hard", "semi_hard")),
        ("n_pair_angular", {}),
        ("multi_similarity", {}),
        ("nt_xent", {}),
        ("sup_con", {}),
    ],
)
def test_a_batch_of_one_product_costs_nothing(name: str, parameters: dict[str, Any]) -> None:
    values, slope = slopes(name, parameters, embeddings(), torch.zeros(8, dtype=torch.int64))
    assert set(values.tolist()) == {0.0}
    assert bool((slope == 0).all())


@pytest.mark.parametrize("name", ["multi_similarity", "nt_xent", "sup_con"])
def test_a_batch_without_two_photos_of_a_product_costs_nothing(name: str) -> None:
    values, slope = slopes(name, {}, embeddings(), torch.arange(8))
    assert set(values.tolist()) == {0.0}
    assert bool((slope == 0).all())


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_a_few_steps_put_triplets_in_the_right_order(name: str, parameters: dict[str, Any]) -> None:
    labels = torch.arange(12) % 4
    triplets = torch.tensor([[q, p, n] for q in range(12) for p in (q - 8, q - 4) for n in (q - 1, q - 2)]) % 12
    x = torch.randn(12, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    loss = loss_of(name, parameters, dimensions=6)
    optimizer = torch.optim.Adam([x, *getattr(loss, "parameters", list)()], lr=0.05)

    def share_right() -> float:
        return right_order(functional.normalize(x.detach()), triplets).float().mean().item()

    before = share_right()
    for _ in range(60):
        optimizer.zero_grad()
        loss(functional.normalize(x), triplets, labels).mean().backward()
        optimizer.step()
    assert before < 0.5
    assert share_right() > 0.8


def test_a_photo_right_on_its_weights_has_a_gradient() -> None:
    loss = loss_of("arcface", {})
    loss.loss.W.data = torch.eye(5)
    for toward in (1.0, -1.0):  # the cosine is exactly 1, or −1
        x = (toward * torch.eye(5)[LABELS]).requires_grad_()
        loss(x, TRIPLETS, LABELS).sum().backward()
        assert x.grad is not None
        assert bool(torch.isfinite(x.grad).all())
        assert bool((x.grad != 0).any())
        assert bool((loss.loss.get_cosine(x).abs() < 1).all())  # some torch we allow has no finite slope there


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_weights_of_labels_come_from_torch_s_generator(name: str) -> None:
    make: Any = LOSSES[name]
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(torch.cat([weight.detach().flatten() for weight in make(7, 5).parameters()]))
    assert drawn[0].numel() == 35
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    with pytest.raises(ValueError, match="labels must be from 0 to 2, are from 0 to 4"):
        make(3, 5)(embeddings(), TRIPLETS, LABELS)


REFUSED = [
    ("sq_hinge", {"margin": -0.1}, "margin must be at least 0 and finite, is -0.1"),
    ("hinge", {"margin": math.nan}, "margin must be at least 0 and finite, is nan"),
    ("hinge", {"negatives": "easy"}, "negatives must be one of 'given', 'batch', 'hard', 'semi_hard', is 'easy'"),
    ("hinge", {"swap": "all"}, "swap must be one of 'none', 'nearer', 'both', is 'all'"),
    ("hinge", {"swap": "both", "negatives": "hard"}, "swap = 'both' needs negatives = 'given', they are 'hard'"),
    ("sq_hinge", {"swap": "nearer", "negatives": "batch"}, "swap = 'nearer' needs negatives = 'given'"),
    ("contrastive", {"margin": 0.0}, "margin must be above 0 and finite, is 0"),
    ("angular", {"alpha_deg": 90.0}, "alpha_deg must be above 0 and below 90, is 90"),
    ("n_pair_angular", {"alpha_deg": 0.0}, "alpha_deg must be above 0 and below 90, is 0"),
    ("n_pair_angular", {"n_pair_weight": -1.0}, "n_pair_weight must be at least 0 and finite, is -1"),
    ("lossless", {"sq_limit": 0.0}, "sq_limit must be above 0 and finite, is 0"),
    ("lossless", {"eps": 0.0}, "eps must be above 0 and below 1, is 0"),
    ("softpn", {"temperature": 0.0}, "temperature must be above 0 and finite, is 0"),
    ("softmax_ratio", {"temperature": math.inf}, "temperature must be above 0 and finite, is inf"),
    ("multi_similarity", {"alpha": 0.0}, "alpha must be above 0 and finite, is 0"),
    ("multi_similarity", {"beta": 0.0}, "beta must be above 0 and finite, is 0"),
    ("multi_similarity", {"base": 1.5}, "base must be at least -1 and below 1, is 1.5"),
    ("multi_similarity", {"miner_epsilon": -0.1}, "miner_epsilon must be at least 0 and finite, is -0.1"),
    ("nt_xent", {"temperature": 0.01}, "temperature must be at least 0.03 and finite, is 0.01"),
    ("proxy_anchor", {"alpha": 0.0}, "alpha must be above 0 and finite, is 0"),
    ("proxy_anchor", {"margin": 2.0}, "margin must be at least 0 and below 2, is 2"),
    ("arcface", {"margin_deg": 90.0}, "margin_deg must be at least 0 and below 90, is 90"),
    ("arcface", {"scale": 0.0}, "scale must be above 0 and finite, is 0"),
]


@pytest.mark.parametrize(("name", "parameters", "message"), REFUSED)
def test_parameters_out_of_their_limits_are_refused(name: str, parameters: dict[str, Any], message: str) -> None:
    # Even a batch without triplets says so, which is how a configuration can be tried before anything is trained.
    with pytest.raises(ValueError, match=message):
        loss_of(name, parameters)(torch.zeros(2, 5), TRIPLETS[:0], torch.arange(2))


@pytest.mark.parametrize("name", LOSSES)
def test_a_zoo_entry_may_set_the_keyword_parameters_alone(name: str) -> None:
    assert strict.arguments(LOSSES[name], {}, "[loss]") == {}
    assert bool(torch.isfinite(loss_of(name, {})(torch.zeros(2, 5), TRIPLETS[:0], torch.arange(2))).all())
    for key in ("labels", "dimensions", "embeddings"):
        with pytest.raises(ValueError, match="unknown key"):
            strict.arguments(LOSSES[name], {key: 3}, "[loss]")


def test_per_triplet_names_losses() -> None:
    assert set(LOSSES) >= PER_TRIPLET
    assert not PER_TRIPLET & set(WITH_WEIGHTS)


def test_right_order_wants_strictly_nearer() -> None:
    x = torch.tensor([[0.0], [1.0], [-1.0], [3.0]])
    triplets = torch.tensor([[0, 1, 3], [0, 3, 1], [0, 1, 2], [0, 0, 1]])
    assert right_order(x, triplets).tolist() == [True, False, False, True]
    near, far = sq_distances(x, triplets)
    assert near.tolist() == [1.0, 9.0, 1.0, 0.0]
    assert far.tolist() == [9.0, 1.0, 1.0, 1.0]
