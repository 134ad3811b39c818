"""The running mean of a model's weights, which often finds better than the weights themselves."""

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class Average:
    """An exponential moving average of all tensors of `model`; with `decay` 0 it is the model itself.

    The first steps weigh more, 1 − min(decay, (1 + n) / (10 + n)), so that a short training forgets where it began.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._source = model
        self._average = AveragedModel(model, avg_fn=_mean(decay), use_buffers=True) if decay else None

    @property
    def model(self) -> nn.Module:
        """The averaged model."""
        return self._source if self._average is None else self._average.module

    def update(self) -> None:
        """Take the model's weights, after a step, into the mean."""
        if self._average is not None:
            self._average.update_parameters(self._source)

    def state(self) -> dict[str, Tensor]:
        """Return what `load` needs to go on."""
        return {} if self._average is None else self._average.state_dict()

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from a state."""
        if self._average is not None:
            self._average.load_state_dict(state)


def _mean(decay: float):  # type: ignore[no-untyped-def]
    def mean(average: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
        weight = 1.0 - min(decay, (1.0 + float(steps)) / (10.0 + float(steps)))
        return average + (current - average) * weight

    return mean
