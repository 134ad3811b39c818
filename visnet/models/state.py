"""The tensors of a model: their digest, reading them from a file, and putting them into a network."""

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from visnet.errors import Damaged, NotFound


def digest(state: Mapping[str, Tensor]) -> str:
    """Return the sha256 of all tensors (name, dtype, shape, bytes; sorted by name), equal on any machine, as hex."""
    hashed = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        hashed.update(f"{name} {str(value.dtype).removeprefix('torch.')} {list(value.shape)}\n".encode())
        hashed.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return hashed.hexdigest()


def load_exactly(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a model the tensors of `state`, which must have its names and shapes; works for a model on `meta`, too."""
    own = model.state_dict()
    kind = type(model).__name__
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or unexpected:
        parts = [f"{len(names)} {what}, first {names[0]!r}" for what, names in
                (("missing", missing), ("unexpected", unexpected)) if names]  # fmt: skip
        raise ValueError(f"its tensors are not those of {kind}: {'; '.join(parts)}")
    for name, value in state.items():
        if value.shape != own[name].shape or value.dtype != own[name].dtype:
            found, wanted = (f"{str(t.dtype).removeprefix('torch.')} {list(t.shape)}" for t in (value, own[name]))
            raise ValueError(f"tensor {name!r} is {found}; {kind} wants {wanted}")
    model.load_state_dict(state, assign=True)


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a .safetensors or .pth file, unpickling nothing else; `ValueError` if it has none."""
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise ValueError(f"{path}: unknown kind of weights; allowed are .safetensors and .pth files")
    if not path.is_file():
        raise NotFound(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (safetensors.SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise Damaged(f"{path}: corrupt or cut short ({why})") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path}: holds no plain table of tensors")
    return state
