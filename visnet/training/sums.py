"""What an epoch's steps add up to, kept on the device so that no step waits for a GPU."""

import math
from collections.abc import Mapping

import torch

from visnet.training.task import Step


class Sums:
    """The loss and the totals of an epoch's steps, and the first step whose loss was no number."""

    def __init__(self, sums: Mapping[str, float], device: torch.device) -> None:
        """Go on from what `read` gave; from nothing where that is empty."""
        self._names = list(sums)
        self.values = torch.tensor(list(sums.values()), dtype=torch.float64, device=device)
        self._bad_step = torch.tensor(-1, device=device)

    def add(self, step: Step, number: int) -> None:
        """Count step `number`: its loss weighs as much as what it is the mean of."""
        if not self._names:
            self._names = ["loss", *step.totals, "size"]
            self.values = self.values.new_zeros(len(self._names))
        loss = step.loss.detach().double()
        size = self.values.new_full((), step.size)  # not a tensor from the host, whose copy would wait
        self.values += torch.stack((loss * size, *(step.totals[name].double() for name in self._names[1:-1]), size))
        bad = (self._bad_step < 0) & ~torch.isfinite(loss)
        self._bad_step = torch.where(bad, number, self._bad_step)

    def read(self) -> tuple[dict[str, float], int | None]:
        """Return the sums by name; and the step at which the loss was no number, if any was."""
        sums = dict(zip(self._names, self.values.tolist(), strict=True))
        return sums, None if math.isfinite(sums.get("loss", 0.0)) else max(int(self._bad_step), 0)

    def clear(self) -> None:
        """Begin another epoch."""
        self.values.zero_()


def means(sums: Mapping[str, float]) -> dict[str, float]:
    """Turn sums into the metrics of what was counted."""
    return {name: value / sums["size"] for name, value in sums.items() if name != "size"}
