"""Photos of noise, what a network makes of them inside, and a small entry of the zoo."""

import torch
from torch import Tensor, nn

from visnet import zoo

SMALL = zoo.entry("mildnet_small").toml().replace("dense = [128]", "dense = [16]")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def shapes_of(layers: dict[str, nn.Module], model: nn.Module, photos: Tensor) -> dict[str, list[int]]:
    """Run a model and return the shape that each of some layers gives, without the batch."""
    seen: dict[str, list[int]] = {}
    for name, layer in layers.items():
        layer.register_forward_hook(lambda _, __, out, name=name: seen.__setitem__(name, list(out.shape[1:])))
    model(photos)
    return seen
