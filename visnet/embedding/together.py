"""Photos embedded together whose vectors are to the bit those that they have alone.

A library sums in another order for another size of batch. Of a network's layers that is mostly the linear ones, which
are so small that a photo at a time costs nothing; in which sizes all others sum alike is found by trying. Rounding to
bf16 hides the order of nearly all sums, one in some thousand apart: there each layer is watched, over many photos.
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
_VALUES, _MOST_PHOTOS = 1 << 18, 512  # of one layer that are compared in bf16, and photos of noise for them
_A_PHOTO = 1 << 15  # values of one layer


def sizes_alike(
    model: nn.Module, side_px: int, precision: Computed, *, sizes: Iterable[int] = SIZES
) -> tuple[int, ...]:
    """Return the sizes of batch, largest first and 1 last, in which photos have the vectors that they have alone.

    Each is tried on photos of noise, at least as many as the largest has: the order of sums depends on shapes, not on
    values. It holds for this machine, device and number of threads.
    """
    tried = sorted(set(sizes), reverse=True)
    photos, generator = max(tried), torch.Generator().manual_seed(0)
    if precision == "bf16":
        with _Layers(model) as layers:
            embed_together(model, [torch.zeros(3, side_px, side_px, dtype=torch.uint8)], ALONE, precision)
        photos = min(max(photos, -(-_VALUES // min(layers.values, default=_VALUES))), _MOST_PHOTOS)
    squares = [*torch.randint(0, 256, (photos, 3, side_px, side_px), generator=generator, dtype=torch.uint8)]

    def made(size: int) -> list[Tensor]:
        if precision == "fp32":  # of which a vector itself shows in which order it was summed
            return [embed_together(model, squares, (size, *ALONE), precision)]
        with _Layers(model) as layers:
            vectors = embed_together(model, squares, (size, *ALONE), precision)
        return [*layers.sums(), vectors]

    alone = made(1)
    alike = [size for size in tried if all(map(torch.equal, made(size), alone))]
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


class _Layers:
    """Within it, the outputs of each layer of weights are added up, photo by photo: another bit gives another sum.

    Of a photo that has very many in a layer, some tens of thousands.
    """

    def __init__(self, model: nn.Module) -> None:
        self._layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        self._sums: dict[nn.Module, list[Tensor]] = {}
        self._hooks: list[Any] = []
        self.values: list[int] = []  # of a photo, in the output of each convolution over places

    def __enter__(self) -> "_Layers":
        self._hooks = [layer.register_forward_hook(self._add) for layer in self._layers]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def sums(self) -> list[Tensor]:
        """Return each layer's sums over all photos, int64 [N], in the order of the layers."""
        return [torch.cat(self._sums[layer]) for layer in self._layers if layer in self._sums]

    def _add(self, layer: nn.Module, _: Any, found: Tensor) -> None:
        flat = (found.movedim(1, -1) if found.ndim == 4 else found).flatten(1)  # as it lies in memory: no copy
        step = flat.shape[1] // _A_PHOTO | 1  # odd, so that it meets each place of a power of two
        bits = flat[:, ::step].contiguous().view(torch.int16 if found.itemsize == 2 else torch.int32).long()
        odd = torch.arange(1, 2 * bits.shape[1], 2, device=bits.device)  # else bits that change places would not show
        self._sums.setdefault(layer, []).append((bits * odd).sum(dim=1))
        if isinstance(layer, nn.Conv2d) and found.shape[2:].numel() > 1:
            self.values.append(bits.shape[1])


class _RowByRow(TorchFunctionMode):
    """Within it, a linear layer works on one photo of the batch after the other."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        linear = functools.partial(function, **(kwargs or {}))
        if function is F.linear and args and args[0].ndim > 1 and len(args[0]) > 1:
            return torch.cat([linear(row, *args[1:]) for row in args[0].split(1)])
        return linear(*args)
