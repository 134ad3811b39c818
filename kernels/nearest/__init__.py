"""Exact k nearest neighbours by squared Euclidean distance: one function, one answer from every backend."""

import torch
from torch import Tensor

from kernels.nearest import cpu, reference
from kernels.nearest.contract import Neighbors, check

__all__ = ["BACKENDS", "Neighbors", "nearest"]

BACKENDS = ("auto", "reference", "cpu", "triton")


@torch.no_grad()
def nearest(queries: Tensor, gallery: Tensor, k: int, *, backend: str = "auto") -> Neighbors:
    """Find the k nearest gallery rows of each query, ascending, equal distances in the order of their rows.

    queries: [Q, D]; gallery: [G, D]; each float32, float16 or bfloat16, finite, any strides, on one device.
    backend: "auto" chooses; "reference", "cpu" or "triton" runs or raises.
    Returns Neighbors of K = min(k, G) columns: squared distances (float64 differences, rounded once) and rows, the same
    to the bit from every backend. Raises ValueError, in one line, for anything else.
    """
    check(queries, gallery, k)
    chosen = _choose(backend, queries.device)
    k = min(k, gallery.shape[0])
    if queries.shape[0] == 0 or k == 0:
        shape = (queries.shape[0], k)
        return Neighbors(
            torch.zeros(shape, dtype=torch.float32, device=queries.device),
            torch.zeros(shape, dtype=torch.int64, device=queries.device),
        )
    with torch.autocast(queries.device.type, enabled=False):  # a matmul of half precision would void the bounds
        if chosen == "triton":
            from kernels.nearest import gpu  # triton is absent on some platforms

            return gpu.search(queries, gallery, k)
        if chosen == "cpu":
            return cpu.search(queries, gallery, k)
        return reference.search(queries, gallery, k)


def _choose(backend: str, device: torch.device) -> str:
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}; allowed: {', '.join(BACKENDS)}")
    if backend == "auto":
        if device.type == "cpu":
            return "cpu"
        return "reference" if _why_not_triton(device) else "triton"
    if backend == "cpu" and device.type != "cpu":
        raise ValueError(f'backend "cpu" cannot run: the tensors are on {device}; move them to the cpu')
    if backend == "triton" and (reason := _why_not_triton(device)):
        raise ValueError(f'backend "triton" cannot run: {reason}')
    return backend


def _why_not_triton(device: torch.device) -> str:
    """Say in a few words why the Triton kernel cannot run on this device; empty where it can."""
    try:
        from kernels.nearest import gpu
    except ImportError as error:
        return f"triton cannot be imported ({error})"
    return gpu.why_not(device)
