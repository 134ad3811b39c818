"""What a compared pair is: how probable it is that both show one picture, and how the one was made of the other."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TURNED_DEGREES = 3.0
PART_SHARE = 0.85  # of the other picture; below it, one is a part
OVERLAID = 0.85  # of the structure that is the same; below it, something was laid over
RELATIONS = ("same", "mirrored", "upside down", "turned", "part", "overlaid")
# Logistic, fitted by benchmarks/duplicates.py to made copies, colour variants and neighbours: see `terms`.
WEIGHTS = (4.1, 7.02, -0.66)
BIAS = -7.28
COLOUR = 1.0  # the difference that copies have, too: CIE 1976, of most of the structure that is the same


def terms(features: Tensor) -> Tensor:
    """Return what the logistic curve adds up, [P, T], of features [P, F] (`comparison.FEATURES`)."""
    exact, _, _, covered, _, _, most, _ = features.unbind(1)
    return torch.stack([exact, covered, (most - COLOUR).clamp(0, 20.0)], dim=1)


def scores(features: Tensor) -> NDArray[np.float32]:
    """Return the probability that a pair shows one picture in one colour, float32 [P]."""
    return torch.sigmoid(terms(features) @ torch.tensor(WEIGHTS) + BIAS).numpy()


def relations(features: Tensor, maps: Tensor) -> list[str]:
    """Name what sets the pictures of each pair apart most: `RELATIONS`. maps: [P, 2, 3], as `Compared` has them."""
    found = []
    for exact, (a, b, c, d) in zip(features[:, 0].tolist(), maps[:, :, :2].reshape(-1, 4).tolist(), strict=True):
        area = a * d - b * c
        angle = math.degrees(math.atan2(c - b, a + d) if area > 0 else math.atan2(c + b, d - a))
        if area < 0 and abs(angle) < 45:
            relation = "mirrored"
        elif area < 0 or abs(angle) > 135:
            relation = "upside down"
        elif abs(angle) > TURNED_DEGREES:
            relation = "turned"
        elif abs(area) < PART_SHARE:
            relation = "part"
        else:
            relation = "overlaid" if exact < OVERLAID else "same"
        found.append(relation)
    return found
