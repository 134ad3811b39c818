"""The device, processes and precision of a training: Lightning Fabric, set up by the options."""

import logging
from typing import TYPE_CHECKING

import torch

from visnet.embedding.embed import chosen_device
from visnet.pipeline.launch import Launch
from visnet.training.options import Options

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def fabric_of(options: Options) -> "Fabric":
    """Start the processes that train together, and join them; `ValueError` for a GPU that is not there.

    Fabric starts the others by running the command of this one again, with `LOCAL_RANK` set. Where torchrun has started
    them, on one host or several, there must be as many as `devices`.
    """
    # It takes seconds to import, and a loader's workers, which import this package, need none of it.
    from lightning_fabric import Fabric

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # the terminal is the progress bar's
    launch = Launch.found()
    if launch is not None:
        launch.check(options.devices)
    device = chosen_device(options.device)
    fabric = Fabric(
        accelerator=device.type,
        devices=options.devices if launch is None else launch.per_host,
        num_nodes=1 if launch is None else launch.hosts,
        strategy="ddp" if options.devices > 1 else "auto",
        precision="32-true",  # for "bf16-mixed" it would round a batch's floats, too; see `autocast`
    )
    fabric.launch()
    return fabric


def autocast(options: Options, device: torch.device) -> torch.autocast:
    """Compute in the precision of the options, weights and inputs staying float32.

    On a CPU "auto" is fp32: instructions for bf16 speed up its forward passes, and few of its backward ones.
    """
    half = device.type == "cuda" if options.precision == "auto" else options.precision == "bf16"
    return torch.autocast(device.type, torch.bfloat16, enabled=half)
