"""Weights to begin with: torchvision's, a file's, or none."""

import http.client
import socket
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import nn

from visnet.models.state import load_exactly, read_state

DOWNLOAD_TIMEOUT_S = 30.0


def load_pretrained(model: nn.Module, weights: str, where: str) -> None:
    """Fill a model from `weights`: "none", "imagenet", or the path of a .safetensors or .pth file.

    A file holds either all tensors of the model, or a trunk that the model's `load_trunk` knows. `ValueError` opens
    with `where` and says which file was wanted, what is wrong with it, and what else is allowed.
    """
    if weights == "none":
        return
    try:
        path = _hub_file(model) if weights == "imagenet" else Path(weights)
        state = read_state(path)
        load_trunk = getattr(model, "load_trunk", None)
        if load_trunk is None or state.keys() == model.state_dict().keys():
            load_exactly(model, state)
        else:
            load_trunk(state)
    except ValueError as error:
        allowed = "allowed are 'imagenet', 'none' or the path of a .safetensors or .pth file"
        raise ValueError(f"{where}: weights {weights!r}: {error}; {allowed}") from None


def _hub_file(model: nn.Module) -> Path:
    named = getattr(model, "imagenet", None)
    if named is None:
        raise ValueError(f"torchvision has none for {getattr(model, 'network', type(model).__name__)}")
    from torchvision.models import get_weight  # here, because it takes seconds to import

    url = get_weight(named).url
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if path.is_file():
        return path
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2], progress=False)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path.name} could not be downloaded ({reason}); put that file at {path}") from None
    finally:
        socket.setdefaulttimeout(before)
    return path
