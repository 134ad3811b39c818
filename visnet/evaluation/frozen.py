"""What pretraining alone finds: the vectors of a frozen trunk, which training must surpass to be worth its while.

The trunk is the model's own, with the weights that it begins with, where it has some and is timm's; otherwise it is
that of `STAND_IN`, whose weights come with an installed package. It sees the very photos that the model sees, of the
model's size (of its own where that is smaller) unless another is asked for: larger ones show it more. As in a frozen
entry, its numbers are projected onto the directions in which the shop's photos differ (`visnet.training.projection`).
"""

from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from visnet import zoo
from visnet.training.projection import projection

STAND_IN = "efficientnet_lite0_frozen"
DIMENSIONS = 256
KIND = "timm"


def trunk(entry: zoo.Entry, side_px: int | None = None) -> tuple[nn.Module, zoo.Entry]:
    """Return the frozen trunk for a model, whose outputs are unit vectors, and the entry that it is, with its side.

    `ValueError` where its weights are neither installed nor to be had.
    """
    own = entry.architecture.kind == KIND and entry.weights != "none"
    chosen = entry if own else zoo.entry(STAND_IN)
    pool = chosen.architecture.parameters.get("pool", "average")
    parameters = {**chosen.architecture.parameters, "embedding": 0, "frozen_blocks": -1, "fitted": False}
    parameters["pool"] = "average" if pool == "gem" else pool  # whose power is learnt
    bare = replace(
        chosen,
        architecture=zoo.Architecture(kind=KIND, parameters=parameters),
        side_px=side_px or min(chosen.side_px, entry.side_px),
    )
    return zoo.build_model(bare, seed=0).eval(), bare


def is_frozen(model: nn.Module) -> bool:
    """Tell whether a model is a frozen trunk itself: nothing in it is learnt."""
    return not any(parameter.requires_grad for parameter in model.parameters())


def projected(seen: torch.Tensor, fitted_to: np.ndarray, *, seed: int) -> torch.Tensor:
    """Project a trunk's unit vectors [N, W] to unit vectors [N, D] float32, fitted to the rows of a mask, bool [N]."""
    rows = seen[torch.from_numpy(fitted_to)].double().numpy()
    weight, bias = projection(rows, min(DIMENSIONS, seen.shape[1]), np.random.default_rng(seed))
    layer = F.linear(seen, torch.from_numpy(weight).float(), torch.from_numpy(bias).float())
    return F.normalize(layer)
