"""A batch of eight photos, and the plain arithmetic that losses are held against."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from visnet.losses import LOSSES

# One triplet has q = p, one q = n (photos 2 and 7 are equal, and show different products), none p = n.
TRIPLETS = torch.tensor([[0, 1, 2], [3, 4, 0], [5, 5, 1], [2, 6, 7], [0, 1, 7], [4, 3, 6]])
LABELS = torch.tensor([0, 0, 1, 2, 2, 3, 1, 4])
HINGES = ("sq_hinge", "hinge")
WITH_WEIGHTS = ("proxy_anchor", "arcface", "sup_con_proxies")
CASES: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in LOSSES if name not in (*HINGES, "angular")]
CASES += [(name, {"negatives": kind}) for name in HINGES for kind in ("given", "batch", "hard", "semi_hard")]
CASES += [(name, {"swap": kind}) for name in HINGES for kind in ("nearer", "both")]
CASES += [("multi_similarity", {"miner_epsilon": 0.0}), ("angular", {"alpha_deg": 25.0})]  # 45° hardly ever acts
Row = list[float]
TAN_30 = 1 / math.sqrt(3)


def embeddings(seed: int = 0, scale: float = 0.5) -> Tensor:
    drawn = torch.randn(8, 5, generator=torch.Generator().manual_seed(seed)) * scale
    drawn[7] = drawn[2]
    return drawn


def loss_of(name: str, parameters: dict[str, Any], dimensions: int = 5) -> Callable[..., Tensor]:
    """Return the loss as training calls it; one with weights of its own has the same ones each time."""
    make: Any = LOSSES[name]
    if not isinstance(make, type):
        return lambda x, triplets, labels: make(x, triplets, labels, **parameters)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return make(5, dimensions, **parameters)


def slopes(name: str, parameters: dict[str, Any], x: Tensor, labels: Tensor = LABELS) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    values = loss_of(name, parameters, x.shape[1])(x, TRIPLETS, labels)
    values.sum().backward()
    assert x.grad is not None
    return values.detach(), x.grad


def sq(a: Row, b: Row) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def dot(a: Row, b: Row) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def cosine(a: Row, b: Row) -> float:
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))
