"""Networks that turn a photo into an embedding; each takes RGB floats in 0..1 and normalises them itself."""

from collections.abc import Callable

from torch import nn

from visnet.models.multiscale import Multiscale
from visnet.models.tapped import Tapped
from visnet.models.timm_trunk import TimmTrunk

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "tapped": Tapped,
    "multiscale": Multiscale,
    "timm": TimmTrunk,
}


def parameter_counts(model: nn.Module) -> tuple[int, int]:
    """Count (all, trainable) parameters as Keras does: batch norm's running mean and variance are among all."""
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    running = sum(b.numel() for name, b in model.named_buffers() if name.endswith((".running_mean", ".running_var")))
    return trainable + frozen + running, trainable


def eval_frozen(model: nn.Module) -> None:
    """Put every layer whose parameters are all frozen into eval mode: `train()` would move a norm's running mean."""
    for layer in model.modules():
        parameters = list(layer.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            layer.eval()
