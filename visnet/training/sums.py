"""What an epoch's steps add up to, kept on the device so that no step waits for a GPU."""

import math

import torch
from torch import Tensor


class Sums:
    """Loss and right order summed over an epoch's triplets, and the first step whose loss was no number."""

    def __init__(self, loss_sum: float, right: float, seen: float) -> None:
        self.values = torch.tensor([loss_sum, right, seen], dtype=torch.float64)
        self._bad_step = torch.tensor(-1)

    def to(self, device: torch.device) -> None:
        """Move to the device of the training."""
        self.values, self._bad_step = self.values.to(device), self._bad_step.to(device)

    def add(self, losses: Tensor, right: Tensor, step: int) -> None:
        """Count a step: `losses` has any number of values, `right` one bool per triplet, which weighs their mean."""
        mean, count = losses.detach().mean().double(), self.values.new_tensor(len(right))
        self.values += torch.stack((mean * count, right.sum().double(), count))
        bad = (self._bad_step < 0) & ~torch.isfinite(mean)
        self._bad_step = torch.where(bad, step, self._bad_step)

    def read(self) -> tuple[list[float], int | None]:
        """Return loss sum, right and seen; and the step at which the loss was no number, if any was."""
        sums: list[float] = self.values.tolist()
        return sums, None if math.isfinite(sums[0]) else max(int(self._bad_step), 0)

    def clear(self) -> None:
        """Begin another epoch."""
        self.values.zero_()
