"""A trained model on disk: `model.safetensors` and the `model.toml` that says how to build it."""

import dataclasses
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from visnet import zoo
from visnet.errors import NotFound
from visnet.models import ARCHITECTURES
from visnet.models.state import digest, load_exactly, read_state
from visnet.storage import atomic

__all__ = ["digest", "load", "save"]

_TENSORS = "model.safetensors"
_ENTRY = "model.toml"


def save(model: nn.Module, entry_toml: str, folder: Path) -> str:
    """Write a model's tensors and its entry's TOML to `folder`, each in one step; returns the tensors' digest."""
    zoo.parse(entry_toml, "the entry to be saved")
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic.writing(folder / _TENSORS) as building:
        safetensors.torch.save_file(state, building)
    atomic.put_text(folder / _ENTRY, entry_toml)
    return digest(state)


def load(folder: Path) -> tuple[nn.Module, zoo.Entry]:
    """Read back what `save` wrote, in eval mode on the CPU; one-line `ValueError` names the file and what is wrong."""
    where = folder / _ENTRY
    if not where.is_file():
        raise NotFound(f"{where}: no such file; a trained model is a folder with {_TENSORS} and {_ENTRY}")
    entry = zoo.parse(where.read_text(encoding="utf-8"), str(where))
    state = read_state(folder / _TENSORS)
    model = _unfilled(entry)
    try:
        load_exactly(model, state)
    except ValueError as error:
        raise ValueError(f"{folder / _TENSORS}: {error}") from None
    return model.eval(), entry


def _unfilled(entry: zoo.Entry) -> nn.Module:
    with torch.device("meta"):  # no time spent on first weights that are thrown away
        model = ARCHITECTURES[entry.architecture.kind](**entry.architecture.parameters)
    if {name for name, _ in model.named_buffers()} <= model.state_dict().keys():
        return model
    # What no file holds, as the frequencies of rotary positions, is computed with the first weights.
    return zoo.build_model(dataclasses.replace(entry, weights="none"), seed=0)
