"""How weights move: parameter groups, and the learning rate at each step."""

import math

import torch
from torch import nn

from visnet.zoo import Optimizer, Schedule


def optimizer_of(model: nn.Module, chosen: Optimizer, loss_module: nn.Module | None = None) -> torch.optim.Optimizer:
    """Make the optimizer of a model: biases at their own rate, weight decay for weights of two dimensions or more.

    What is of a part called `trunk` moves at `trunk_lr_factor` times these rates; what a loss learns (a proxy for each
    product) at `proxy_lr_factor` times the rate.
    """
    kinds: dict[str, dict[float, list[nn.Parameter]]] = {"weights": {}, "norms": {}, "biases": {}}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            kind = "biases" if name.endswith("bias") else "weights" if parameter.ndim > 1 else "norms"
            factor = chosen.bias_lr_factor if kind == "biases" else 1.0
            if "trunk" in name.split("."):
                factor *= chosen.trunk_lr_factor
            kinds[kind].setdefault(chosen.lr * factor, []).append(parameter)
    groups = [
        {"params": parameters, "base_lr": lr, "weight_decay": chosen.weight_decay if kind == "weights" else 0.0}
        for kind, rates in kinds.items()
        for lr, parameters in rates.items()
    ]
    proxies = [] if loss_module is None else list(loss_module.parameters())
    if proxies:
        groups.append({"params": proxies, "base_lr": chosen.lr * chosen.proxy_lr_factor, "weight_decay": 0.0})
    if chosen.name == "sgd":
        return torch.optim.SGD(groups, lr=chosen.lr, momentum=chosen.momentum, nesterov=chosen.nesterov)
    if chosen.name == "rmsprop":
        return torch.optim.RMSprop(groups, lr=chosen.lr, alpha=0.9, eps=1e-10, momentum=chosen.momentum)
    return torch.optim.AdamW(groups, lr=chosen.lr, betas=(chosen.momentum, 0.999))


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's learning rate to `factor` of its own."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def lr_factor(schedule: Schedule, epoch: float, epochs: int) -> float:
    """Return the share of the learning rate at `epoch` (2.5 is half through the third) of `epochs`."""
    if epoch < schedule.warmup_epochs:
        return (epoch + 1e-3) / (schedule.warmup_epochs + 1e-3)
    if schedule.name == "step":
        return schedule.factor ** int(epoch // schedule.step_epochs)
    if schedule.name == "cosine":
        length = max(epochs - schedule.warmup_epochs, 1e-9)
        return 0.5 + 0.5 * math.cos(math.pi * min((epoch - schedule.warmup_epochs) / length, 1.0))
    return 1.0
