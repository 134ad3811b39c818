"""Where the tests of the Triton kernel have their tensors: on a GPU, or in the interpreter."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

gpu = pytest.importorskip("kernels.nearest.gpu", reason="triton is not installed", exc_type=ImportError)

DEVICE = "cpu" if gpu.INTERPRETED else "cuda"

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int8)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return (values.mul(20).round().clamp(-127, 127) if dtype == torch.int8 else values).to(dtype).to(DEVICE)


def once_a_launch(patch: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Have the interpreter exchange what is in `triton.language` once a launch for each module, not at each call.

    It does so again whenever a kernel calls a helper, which changes nothing and is a third of the time. What it
    exchanged for the launch itself is put back at its end; of a helper's it keeps nothing.
    """
    done: set[int] = set()

    def patched(fn: Any) -> Any:
        if id(fn.__globals__) in done:
            return None
        scope, launch = patch(fn), not done
        done.add(id(fn.__globals__))
        if launch:
            restore = scope.restore

            def restored() -> None:
                done.clear()
                restore()

            scope.restore = restored
        return scope

    return patched


if gpu.INTERPRETED:
    from triton.runtime import interpreter

    interpreter._patch_lang = once_a_launch(interpreter._patch_lang)
