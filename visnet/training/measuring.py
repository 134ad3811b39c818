"""How a network does on its task's validation."""

from collections.abc import Iterable

import torch
from torch import nn

from visnet.training.options import Options
from visnet.training.processes import autocast
from visnet.training.task import Batch, Task


def measured(
    task: Task[Batch], model: nn.Module, batches: Iterable[object], options: Options, device: torch.device
) -> dict[str, float]:
    """Return the task's metrics of a model, "validation_" before their names.

    batches: the validation's, on the model's device.
    """
    predictions = []
    with torch.inference_mode():
        for batch in batches:
            with autocast(options, device):
                predictions.append(task.predict(model, batch))
        return {f"validation_{name}": value for name, value in task.metrics(predictions).items()}
