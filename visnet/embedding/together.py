"""Photos embedded together whose vectors are to the bit those that they have alone.

A library sums in another order for another size of batch. Of a network's layers that is mostly the linear ones, which
are so small that a photo at a time costs nothing; in which sizes all others sum alike is found by trying.
"""

import contextlib
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from visnet.embedding.embed import Computed, chosen_device, embed
from visnet.models.inputs import as_floats
from visnet.models.onnx_network import OnnxNetwork

SIZES = (16, 8, 4, 2)
ALONE = (1,)


def sizes_alike(
    model: nn.Module, side_px: int, precision: Computed, *, sizes: Iterable[int] = SIZES
) -> tuple[int, ...]:
    """Return the sizes of batch, largest first and 1 last, in which photos have the vectors that they have alone.

    Each is tried on as many photos of noise as the largest has: the order of sums depends on shapes, not on values. It
    holds for this machine, device and number of threads.
    """
    tried = sorted(set(sizes), reverse=True)
    noise = torch.randint(0, 256, (max(tried), 3, side_px, side_px), generator=torch.Generator().manual_seed(0))
    squares = list(noise.to(torch.uint8))
    alone = embed_together(model, squares, ALONE, precision)
    alike = [size for size in tried if torch.equal(embed_together(model, squares, (size,), precision), alone)]
    return (*alike, *ALONE)


def embed_together(model: nn.Module, squares: Sequence[Tensor], sizes: Sequence[int], precision: Computed) -> Tensor:
    """Return the vectors [B, D] float32 of uint8 photos [3, S, S], in batches of the sizes, which fall.

    What `embed` gives of one photo at a time, to the bit, if the model is `ready` as `embed` makes it. A model in
    training mode is left in eval mode.
    """
    place = chosen_device("auto")
    run = _on_cpu if place.type == "cpu" else _on_gpu
    if model.training:
        model.to(place).eval()
    of_torch = not isinstance(model, OnnxNetwork)  # the layers of ONNX Runtime are no calls of torch's to watch
    vectors, first = [], 0
    while first < len(squares):
        size = next((size for size in sizes if size <= len(squares) - first), sizes[-1])
        with _RowByRow() if of_torch and size > 1 else contextlib.nullcontext():
            vectors.append(run(model, squares[first : first + size], precision))
        first += size
    return torch.cat(vectors)


def _on_cpu(model: nn.Module, squares: Sequence[Tensor], precision: Computed) -> Tensor:
    """Run one batch; where a photo comes alone, the loader of a dataset takes a third as long as a small network."""
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    with torch.inference_mode(), autocast:
        found: Tensor = model(as_floats(torch.stack(tuple(squares)), channels_last=not isinstance(model, OnnxNetwork)))
    return found.float().clone()


def _on_gpu(model: nn.Module, squares: Sequence[Tensor], precision: Computed) -> Tensor:
    return next(embed(model, squares, batch=len(squares), precision=precision))[1]  # type: ignore[arg-type]


class _RowByRow(TorchFunctionMode):
    """Within it, a linear layer works on one photo of the batch after the other."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        linear = functools.partial(function, **(kwargs or {}))
        if function is F.linear and args and args[0].ndim > 1 and len(args[0]) > 1:
            return torch.cat([linear(row, *args[1:]) for row in args[0].split(1)])
        return linear(*args)
