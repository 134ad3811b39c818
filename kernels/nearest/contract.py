"""What `nearest` takes and gives: the record, and the checks at the door."""

from dataclasses import dataclass

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The nearest gallery rows of each query, ascending by (squared distance, row).

    sq_distance: [Q, K] float32, squared Euclidean; inf where it is beyond float32. row: [Q, K] int64.
    """

    sq_distance: Tensor
    row: Tensor


def check(queries: Tensor, gallery: Tensor, k: int) -> None:
    """Refuse what `nearest` cannot answer: a ValueError says which argument, what it is and what is allowed."""
    for name, tensor in (("queries", queries), ("gallery", gallery)):
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{name} is a {type(tensor).__name__}; a torch.Tensor is needed")
        if tensor.ndim != 2 or tensor.shape[1] < 1:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}; two axes are needed, [rows, D] with D >= 1")
        if tensor.dtype not in DTYPES:
            raise ValueError(f"{name} has dtype {tensor.dtype}; allowed: {', '.join(str(dtype) for dtype in DTYPES)}")
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(f"queries have D = {queries.shape[1]} and gallery has D = {gallery.shape[1]}; they must agree")
    if queries.device != gallery.device:
        raise ValueError(f"queries are on {queries.device} and gallery is on {gallery.device}; one device is needed")
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"k is {k!r}; an int of 1 or more is needed")
    _check_finite("queries", queries)
    _check_finite("gallery", gallery)


def _check_finite(name: str, tensor: Tensor) -> None:
    if tensor.numel() == 0:
        return
    low, high = torch.aminmax(tensor)  # one pass without a copy; NaN propagates
    if torch.isfinite(torch.stack((low, high))).all():
        return
    for start in range(0, tensor.shape[0], 4096):
        bad = ~torch.isfinite(tensor[start : start + 4096]).all(dim=1)
        if bad.any():
            first = start + int(bad.int().argmax())
            held = "nan" if tensor[first].isnan().any() else "inf"
            raise ValueError(f"{name} row {first} holds {held}; every value must be finite")
