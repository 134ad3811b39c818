"""How layers begin that no pretrained weights fill."""

from collections.abc import Iterable
from typing import Literal

from torch import Tensor, nn

Init = Literal["glorot", "gaussian", "torch"]
WIDTH_MAX = 65_536


def initialise(modules: Iterable[nn.Module], how: Init) -> None:
    """Draw linear and convolutional layers anew: Keras's Glorot, Caffe's N(0, 0.01), or leave them to torch."""
    for layer in modules:
        if isinstance(layer, nn.Linear | nn.Conv2d) and how != "torch":
            if how == "glorot":
                nn.init.xavier_uniform_(layer.weight)
            else:
                nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(bias_of(layer))


def bias_of(layer: nn.Linear | nn.Conv2d) -> Tensor:
    """Return the bias of a layer that has one."""
    assert layer.bias is not None
    return layer.bias


def check_widths(name: str, widths: Iterable[int]) -> None:
    """Refuse layers that nobody can build or hold; `ValueError` says what is allowed."""
    for width in widths:
        if not 1 <= width <= WIDTH_MAX:
            raise ValueError(f"{name} must be at least 1 and at most {WIDTH_MAX}, is {width}")
