"""Learning rates, groups of parameters, and averaged weights."""

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.toy import TRAIN, Tiny, train
from visnet import zoo
from visnet.training.averaging import Average
from visnet.training.schedule import lr_factor, optimizer_of, set_lr


def test_averaged_weights_are_the_running_mean() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = Average(model, 0.5)
    expected = None
    for step, value in enumerate([4.0, 8.0, 6.0, 1.0]):
        with torch.no_grad():
            model.weight.fill_(value)
        average.update()
        weight = 1 - min(0.5, (1 + step) / (10 + step))
        expected = value if expected is None else expected + (value - expected) * weight
    assert average.model.weight.item() == pytest.approx(expected)
    assert Average(model, 0.0).model is model


def test_the_learning_rate_follows_its_schedule() -> None:
    step = zoo.Schedule(name="step", step_epochs=5, factor=0.1)
    assert [lr_factor(step, epoch, 30) for epoch in (0, 4.99, 5, 12)] == pytest.approx([1, 1, 0.1, 0.01])
    cosine = zoo.Schedule(name="cosine", warmup_epochs=1.0)
    values = [lr_factor(cosine, epoch, 5) for epoch in (0, 0.5, 1, 3, 5)]
    assert values == pytest.approx([0, 0.5, 1, 0.5, 0], abs=2e-3)
    assert lr_factor(zoo.Schedule(), 3.0, 5) == 1.0


def test_biases_have_their_own_rate_and_no_decay() -> None:
    chosen = zoo.Optimizer(name="sgd", lr=0.2, momentum=0.9, nesterov=True, weight_decay=0.01, bias_lr_factor=2.0)
    model = Tiny()
    groups = optimizer_of(model, chosen).param_groups
    assert [(g["base_lr"], g["weight_decay"], g["nesterov"]) for g in groups] == [
        (0.2, 0.01, True), (0.2, 0.0, True), (0.4, 0.0, True),
    ]  # fmt: skip
    names = {id(value): name for name, value in model.named_parameters()}
    assert [sorted(names[id(p)] for p in g["params"]) for g in groups] == [
        ["body.0.weight", "body.3.weight", "body.9.weight"],
        ["body.1.weight", "body.4.weight"],
        ["body.0.bias", "body.1.bias", "body.3.bias", "body.4.bias", "body.9.bias"],
    ]


def test_a_trunk_has_its_own_rate_beside_what_begins_anew() -> None:
    model = nn.ModuleDict({"trunk": nn.Linear(3, 4), "embedding": nn.Linear(4, 2)})
    chosen = zoo.Optimizer(name="adamw", lr=0.002, trunk_lr_factor=0.2, bias_lr_factor=2.0, weight_decay=0.01)
    names = {id(value): name for name, value in model.named_parameters()}
    found = [
        (sorted(names[id(p)] for p in group["params"]), group["base_lr"], group["weight_decay"])
        for group in optimizer_of(model, chosen).param_groups
    ]
    assert found == [
        (["trunk.weight"], pytest.approx(0.0004), 0.01),
        (["embedding.weight"], 0.002, 0.01),
        (["trunk.bias"], pytest.approx(0.0008), 0.0),
        (["embedding.bias"], 0.004, 0.0),
    ]
    with pytest.raises(ValueError, match="trunk_lr_factor must be at least 0"):
        zoo.Optimizer(name="adamw", lr=0.002, trunk_lr_factor=-1.0)


def test_two_rates_move_their_own_parts_so_far() -> None:
    model = nn.ModuleDict({"trunk": nn.Linear(1, 1, bias=False), "embedding": nn.Linear(1, 1, bias=False)})
    before = {name: value.item() for name, value in model.named_parameters()}
    optimizer = optimizer_of(model, zoo.Optimizer(name="sgd", lr=1.0, momentum=0.0, trunk_lr_factor=0.25))
    set_lr(optimizer, 0.5)
    (model["trunk"].weight + model["embedding"].weight).sum().backward()
    optimizer.step()
    moved = {name: before[name] - value.item() for name, value in model.named_parameters()}
    assert moved == {"trunk.weight": pytest.approx(0.125), "embedding.weight": pytest.approx(0.5)}


@pytest.mark.parametrize("bound", [1e-4, 0.0])
def test_no_number_of_a_gradient_is_beyond_its_bound(tmp_path: Path, bound: float) -> None:
    """By plain steps of a rate of 1 no weight can move farther than the bound times the steps; without one it does."""
    plain = zoo.Optimizer(name="sgd", lr=1.0, momentum=0.0, clip_value=bound)
    begun = Tiny()
    first = {name: value.detach().clone() for name, value in begun.named_parameters()}
    fitted = train(tmp_path, model=begun, epochs=1, optimizer=plain, schedule=zoo.Schedule())
    steps = -(-len(TRAIN) // 16)
    moved = max(float((value.detach() - first[name]).abs().max()) for name, value in fitted.model.named_parameters())
    assert (0 < moved <= 1.001 * steps * 1e-4) == (bound > 0)
