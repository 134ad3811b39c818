"""Weights between those that a training began with and those that it ended with (WiSE-FT, arXiv 2109.01903).

As a rule, photos of another place or season than those learnt from are found better by them; more of the same are not.
"""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from visnet.embedding.embed import chosen_device
from visnet.models.inputs import loader_options
from visnet.pipeline.log import Log
from visnet.training.measuring import measured
from visnet.training.options import Options
from visnet.training.task import Batch, Task

SHARES = (0.9, 0.8, 0.7, 0.6, 0.5)  # of what was learnt, the largest first


def trunk_of(model: nn.Module) -> dict[str, Tensor]:
    """Copy the floating numbers of the parts called `trunk`, statistics of norms included."""
    return {
        name: value.detach().cpu().clone()
        for name, value in model.state_dict().items()
        if "trunk" in name.split(".") and value.is_floating_point()
    }


def interpolate(
    task: Task[Batch], begun: Mapping[str, Tensor], options: Options, learnt: Mapping[str, float], log: Log
) -> tuple[float, dict[str, float]]:
    """Leave the trunk the least share of what it has learnt that the task's validation cannot tell from all of it.

    begun: what `trunk_of` gave before the training; learnt: the metrics of the model as it is. Shares are tried from
    `SHARES` until one measures worse than all of it by more than a standard error of the monitored metric. Returns the
    share and its validation metrics; 1.0 and none where the task has no validation or no such error.
    """
    monitor, ended = task.monitor, trunk_of(task.model)
    if monitor.error is None or not len(task.validation):
        return 1.0, {}
    share, found = 1.0, {name: value for name, value in learnt.items() if name.startswith("validation_")}
    for tried in SHARES:
        _mix(task.model, begun, ended, tried)
        metrics = _measured(task, options)
        if monitor.gain(metrics, learnt) < -learnt[monitor.error]:
            break
        share, found = tried, metrics
    _mix(task.model, begun, ended, share)
    log.say(
        f"  {share:.0%} of what the trunk has learnt: {monitor.metric} {found[monitor.metric]:.4f}, "
        f"{learnt[monitor.metric]:.4f} with all of it"
    )
    return share, found


def _mix(model: nn.Module, begun: Mapping[str, Tensor], ended: Mapping[str, Tensor], share: float) -> None:
    mixed = {name: torch.lerp(begun[name], value, share) for name, value in ended.items()}
    model.load_state_dict(mixed, strict=False)


def _measured(task: Task[Batch], options: Options) -> dict[str, float]:
    from lightning_fabric.utilities import move_data_to_device  # it takes seconds to import

    place = chosen_device(options.device)
    validation = cast(Dataset[Any], task.validation)
    loader = DataLoader(validation, batch_size=None, **loader_options(options.workers, pin_memory=False))
    model = task.model.to(place).eval()
    found = measured(task, model, (move_data_to_device(batch, place) for batch in loader), options, place)
    model.cpu()
    return found
