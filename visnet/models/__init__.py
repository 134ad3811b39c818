"""Networks that turn a photo into an embedding; each takes RGB floats in 0..1 and normalises them itself."""

from collections.abc import Callable

from torch import nn

from visnet.models.mobilenet import MildnetMobile
from visnet.models.plain import MildnetPlain
from visnet.models.visnet import Visnet

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "mildnet_mobile": MildnetMobile,
    "mildnet_plain": MildnetPlain,
    "visnet": Visnet,
}


def parameter_counts(model: nn.Module) -> tuple[int, int]:
    """Count (all, trainable) parameters as Keras does: batch norm's running mean and variance are among all."""
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    running = sum(b.numel() for name, b in model.named_buffers() if name.endswith((".running_mean", ".running_var")))
    return trainable + frozen + running, trainable
