"""Which variants of the compiled scan this machine runs, and how a test forces one."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from kernels.nearest.native import variants

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
RUNNING = [variant.name for variant in variants.VARIANTS if COMPILER and variant.runs()]


@contextmanager
def forced(name: str) -> Iterator[None]:
    """Have the scan run as one variant, or as "none", by torch."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(variants.CHOICE, name)
        yield


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Draw a matrix from a normal distribution."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
