"""Networks that turn a photo into an embedding; each takes RGB floats in 0..1 and normalises them itself."""

from collections.abc import Callable

from torch import nn

from visnet.models.backbones import Torchvision
from visnet.models.multiscale import Multiscale
from visnet.models.tapped import Tapped

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "tapped": Tapped,
    "multiscale": Multiscale,
    "torchvision": Torchvision,
}


def parameter_counts(model: nn.Module) -> tuple[int, int]:
    """Count (all, trainable) parameters as Keras does: batch norm's running mean and variance are among all."""
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    running = sum(b.numel() for name, b in model.named_buffers() if name.endswith((".running_mean", ".running_var")))
    return trainable + frozen + running, trainable


def freeze_norms(model: nn.Module) -> None:
    """Put every batch norm whose parameters are all frozen into eval mode: `train()` would move its running mean."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            parameters = list(layer.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                layer.eval()
