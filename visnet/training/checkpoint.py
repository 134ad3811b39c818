"""A training on disk: written in one step, read without unpickling, ignored when it is of another run."""

import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from visnet.storage import atomic
from visnet.training.state import TrainingState

_LAST = "last.ckpt"


@dataclass(frozen=True)
class Checkpoints:
    """The files of one training: `last.ckpt`, from which it goes on, and the weights of its best epoch.

    fingerprint: of all that the weights depend on; a checkpoint with another one is of another training.
    """

    folder: Path
    fingerprint: str

    def save(self, state: TrainingState, weights: Mapping[str, Mapping[str, Any]]) -> None:
        """Write `last.ckpt` in one step, then drop the best weights that it no longer names."""
        content = {"fingerprint": self.fingerprint, "state": asdict(state), **weights}
        with atomic.writing(self.folder / _LAST) as building, building.open("wb") as file:
            torch.save(content, file)
        for path in self.folder.glob("best-*.safetensors"):
            if path != self._best(state.best_epoch):
                path.unlink()

    def load(self) -> tuple[TrainingState, dict[str, Any] | None, str]:
        """Read the state and the weights of `last.ckpt`; a new state, None and why, when it cannot be used."""
        path, new = self.folder / _LAST, TrainingState()
        if not path.is_file():
            return new, None, ""
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            if content.pop("fingerprint") != self.fingerprint:
                return new, None, f"{path} is of other data or settings: training begins anew"
            state = TrainingState(**content.pop("state"))
        except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
            return new, None, f"{path} cannot be read ({type(error).__name__}): training begins anew"
        if state.best_epoch >= 0 and not self._best(state.best_epoch).is_file():
            return new, None, f"{path} lacks its best weights: training begins anew"
        return state, content, ""

    def save_best(self, epoch: int, model: nn.Module) -> None:
        """Write the weights after `epoch` in one step; those of an earlier epoch stay until `save`."""
        weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
        with atomic.writing(self._best(epoch)) as building:
            safetensors.torch.save_file(weights, building)

    def load_best(self, epoch: int) -> dict[str, Tensor]:
        """Read the weights after `epoch`."""
        return safetensors.torch.load_file(self._best(epoch))

    def _best(self, epoch: int) -> Path:
        return self.folder / f"best-{epoch:04d}.safetensors"
