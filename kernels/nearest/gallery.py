"""A gallery made ready: checked once, and with the copy of it that a scan reads."""

from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from kernels.nearest.contract import check_choice, check_vectors
from kernels.nearest.score import METRICS

BACKENDS = ("auto", "reference", "cpu", "triton")
COMPUTES = ("auto", "float32", "bfloat16", "int8")


class Gallery:
    """Vectors to be searched many times by one metric; `nearest` takes it in the place of the tensor.

    The vectors are referred to, not copied, and must not change afterwards.
    """

    def __init__(
        self, vectors: Tensor, *, metric: str = "sq_euclidean", compute: str = "auto", backend: str = "auto"
    ) -> None:
        """Check vectors [G, D] and make the scan's copy; ValueError as `nearest` would raise it."""
        check_choice("metric", metric, METRICS)
        check_choice("compute", compute, COMPUTES)
        check_vectors("gallery", vectors, metric)
        self.vectors, self.metric = vectors, metric
        self.backend = choose(backend, vectors.device)
        self.prepared: Any = module(self.backend).prepare(vectors, metric, compute, keep=True)

    def save(self, folder: Path) -> None:
        """Write vectors and copy into an empty folder, for `open`; ValueError for one that a CPU does not search.

        The caller has the disk hold the files before it gives the folder its name.
        """
        if self.backend != "cpu":
            raise ValueError(f'a gallery of backend "{self.backend}" cannot be saved; make it with backend "cpu"')
        from kernels.nearest import saved

        saved.save(self.prepared, folder)

    @classmethod
    def open(cls, folder: Path) -> "Gallery":
        """Map a gallery that was saved: it is read as it is searched, and processes share the memory that it takes.

        ValueError in a line where other sources made it, or it is damaged; OSError where it cannot be read. It answers
        as if it were made here: nothing is checked but shapes, and the folder may be removed meanwhile.
        """
        from kernels.nearest import cpu, saved

        gallery = cls.__new__(cls)
        gallery.prepared = cpu.completed(saved.opened(folder))
        gallery.vectors, gallery.metric, gallery.backend = gallery.prepared.vectors, gallery.prepared.metric, "cpu"
        return gallery

    @property
    def scan(self) -> str:
        """Say what searches it: the type of its codes, and the compiled variant, torch or Triton; or the reference."""
        if self.backend == "reference":
            return "reference"
        if self.backend == "triton":
            return f"{self.prepared.scan} by triton"
        from kernels.nearest.native import build

        return f"{self.prepared.scan} by {build.running()}"

    @property
    def nbytes(self) -> int:
        """Bytes of the scan's copy, which come on top of the vectors."""
        return int(self.prepared.nbytes)


def choose(backend: str, device: torch.device) -> str:
    """Name the backend that runs on this device; ValueError says why a named one cannot."""
    check_choice("backend", backend, BACKENDS)
    if backend == "auto":
        if device.type == "cpu":
            return "cpu"
        return "reference" if _why_not_triton(device) else "triton"
    if backend == "cpu" and device.type != "cpu":
        raise ValueError(f'backend "cpu" cannot run: the tensors are on {device}; move them to the cpu')
    if backend == "triton" and (reason := _why_not_triton(device)):
        raise ValueError(f'backend "triton" cannot run: {reason}')
    return backend


def module(backend: str) -> ModuleType:
    """Import a chosen backend; it has `prepare(vectors, metric, compute, keep)` and `answer(queries, prepared, …)`."""
    if backend == "triton":
        from kernels.nearest import gpu  # triton is absent on some platforms

        return gpu
    from kernels.nearest import cpu, reference

    return cpu if backend == "cpu" else reference


def _why_not_triton(device: torch.device) -> str:
    """Say in a few words why the Triton kernel cannot run on this device; empty where it can."""
    try:
        from kernels.nearest import gpu
    except ImportError as error:
        return f"triton cannot be imported ({error})"
    return gpu.why_not(device)
