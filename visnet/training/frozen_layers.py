"""Frozen layers in bf16: nothing flows back through what stands before all that learns, and forward it is faster so."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from visnet.training.options import Options


@contextlib.contextmanager
def frozen_in_bf16(model: nn.Module, options: Options, device: torch.device) -> Iterator[None]:
    """Within it, layers that do not learn and whose input has no gradient compute in bf16, and give float32.

    Where the options' precision is "auto", and the device a CPU with instructions for bf16: its backward passes are
    faster in fp32, in which all the others stay. Of EfficientNet-Lite0 with 9 of 16 blocks frozen a step takes 0.7 of
    the time. Frozen layers that a gradient passes through compute as they would without.
    """
    half = device.type == "cpu" and options.precision == "auto" and _has_bf16()
    layers = frozen_layers(model) if half and not options.compile else []
    for layer in layers:
        layer.forward = _in_bf16(layer.forward)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def frozen_layers(module: nn.Module) -> list[nn.Module]:
    """List the largest parts of which no parameter learns, and that have some."""
    parameters = list(module.parameters())
    if not parameters:
        return []
    if not any(parameter.requires_grad for parameter in parameters):
        return [module]
    return [layer for part in module.children() for layer in frozen_layers(part)]


def _has_bf16() -> bool:
    """Whether this CPU has instructions for bf16: AVX-512 BF16 or AMX."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _in_bf16(forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*inputs: Any, **named: Any) -> Any:
        given = [*inputs, *named.values()]
        if any(isinstance(each, Tensor) and each.requires_grad for each in given):
            return forward(*inputs, **named)
        with torch.autocast("cpu", torch.bfloat16):
            found = forward(*inputs, **named)
        return _in_fp32(found)

    return run


def _in_fp32(found: Any) -> Any:
    """Return what a layer gave, its bf16 tensors in float32: the layers after it take no other."""
    if isinstance(found, Tensor):
        return found.float() if found.dtype == torch.bfloat16 else found
    return type(found)(map(_in_fp32, found)) if type(found) in (tuple, list) else found
