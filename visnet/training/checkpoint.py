"""Where a training stands, on disk: written in one step, read without unpickling, ignored when it is of another run."""

import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from visnet.storage import atomic

_LAST = "last.ckpt"


@dataclass
class Standing:
    """How far a training has come; `batch` counts the finished batches of the epoch under way."""

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    right: float = 0.0
    seen: float = 0.0
    photos: int = 0
    training_s: float = 0.0
    wall_s: float = 0.0
    best_epoch: int = -1
    best: dict[str, float] = field(default_factory=dict)
    finished: bool = False
    stopped_early: bool = False
    curve: list[dict[str, float]] = field(default_factory=list)


def save(folder: Path, fingerprint: str, standing: Standing, states: Mapping[str, Mapping[str, Any]]) -> None:
    """Write `last.ckpt` in one step, then drop the best weights that it no longer speaks of."""
    content = {"fingerprint": fingerprint, "standing": asdict(standing), **states}
    with atomic.writing(folder / _LAST) as building, building.open("wb") as file:
        torch.save(content, file)
    for path in folder.glob("best-*.safetensors"):
        if path != best_path(folder, standing.best_epoch):
            path.unlink()


def load(folder: Path, fingerprint: str) -> tuple[dict[str, Any] | None, str]:
    """Read the checkpoint of a run with this fingerprint; None, and why, when there is none that can be used."""
    path = folder / _LAST
    if not path.is_file():
        return None, ""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        standing = Standing(**content["standing"])
        if content["fingerprint"] != fingerprint:
            return None, f"{path} is of other triplets or settings: training begins anew"
        if standing.best_epoch >= 0 and not best_path(folder, standing.best_epoch).is_file():
            return None, f"{path} lacks its best weights: training begins anew"
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        return None, f"{path} cannot be read ({type(error).__name__}): training begins anew"
    return {**content, "standing": standing}, ""


def best_path(folder: Path, epoch: int) -> Path:
    """Name the file of the weights after `epoch`."""
    return folder / f"best-{epoch:04d}.safetensors"


def save_best(folder: Path, epoch: int, model: nn.Module) -> None:
    """Write the weights after `epoch` in one step; those of an earlier epoch stay until `save`."""
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic.writing(best_path(folder, epoch)) as building:
        safetensors.torch.save_file(state, building)


def load_best(folder: Path, epoch: int) -> dict[str, Tensor]:
    """Read the weights after `epoch`."""
    return safetensors.torch.load_file(best_path(folder, epoch))
