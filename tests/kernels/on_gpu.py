"""Where the tests of the Triton kernel have their tensors: on a GPU, or in the interpreter."""

import pytest
import torch

gpu = pytest.importorskip("kernels.nearest.gpu", reason="triton is not installed", exc_type=ImportError)

DEVICE = "cpu" if gpu.INTERPRETED else "cuda"

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int8)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return (values.mul(20).round().clamp(-127, 127) if dtype == torch.int8 else values).to(dtype).to(DEVICE)
