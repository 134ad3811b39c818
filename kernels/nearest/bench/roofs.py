"""The roofs, measured here: how fast this device copies memory, and how fast it multiplies matrices of each type."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from kernels.nearest.bench.work import Work

REPEATS = 5
SIZES = {"cpu": (2**30, 2048), "cuda": (2**33, 8192)}  # bytes copied, side of the matrices
QUICK_SIZES = {"cpu": (2**28, 1024), "cuda": (2**30, 4096)}
ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}


@dataclass(frozen=True)
class Roofs:
    """What this device can do: bytes per second read and written by a copy, operations per second by scan type."""

    copy_bytes_per_s: float
    flop_per_s: dict[str, float]


@dataclass(frozen=True)
class Reached:
    """What a search reached, and the roof that binds: the one of which the share is larger.

    Bytes are those of G D values read once; operations are 2 Q G D. A share above 1: a cache held the gallery.
    """

    bytes_per_s: float
    flop_per_s: float
    roof: str
    share: float


def reached(work: Work, seconds: float, read: str, scan: str, roofs: Roofs) -> Reached:
    """Relate a time to the roofs. read: the type of the values that are read; scan: the type that is multiplied."""
    bytes_per_s = work.g * work.d * ITEM_BYTES.get(read, ITEM_BYTES[work.dtype]) / seconds
    flop_per_s = 2.0 * work.q * work.g * work.d / seconds
    shares = {"copy bandwidth": bytes_per_s / roofs.copy_bytes_per_s}
    if scan in roofs.flop_per_s:
        shares[f"{scan} matmul"] = flop_per_s / roofs.flop_per_s[scan]
    roof = max(shares, key=lambda name: shares[name])
    return Reached(bytes_per_s, flop_per_s, roof, shares[roof])


def measure_roofs(device: str, copy_bytes: int, side: int) -> Roofs:
    """Time a copy and products of square matrices; the best of several runs is the roof."""
    if device == "cuda":
        copy_bytes = min(copy_bytes, torch.cuda.mem_get_info()[0] // 4)
    rates = {}
    for dtype in (torch.float32, torch.bfloat16, torch.int8):
        call = _product(side, dtype, device)
        if call is not None:
            rates[str(dtype).removeprefix("torch.")] = 2.0 * side**3 / _best_s(call, device)
    source = torch.ones(copy_bytes, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    return Roofs(2.0 * copy_bytes / _best_s(lambda: target.copy_(source), device), rates)


def _product(side: int, dtype: torch.dtype, device: str) -> Callable[[], object] | None:
    """Prepare a product of two square matrices; None where the device has none of this type."""
    if dtype == torch.int8:
        left, right = (torch.randint(-127, 128, (side, side), dtype=dtype, device=device) for _ in range(2))
        multiply = torch._int_mm
    else:
        left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        multiply = torch.mm
    right = right.T.contiguous().T  # as a gallery lies: its rows are the columns of the product
    try:
        multiply(left, right)
    except (RuntimeError, NotImplementedError):
        return None
    return lambda: multiply(left, right)


def _best_s(call: Callable[[], object], device: str) -> float:
    event: Any = torch.cuda.Event
    call()
    times = []
    for _ in range(REPEATS):
        if device == "cuda":
            start, stop = event(enable_timing=True), event(enable_timing=True)
            start.record()
            call()
            stop.record()
            torch.cuda.synchronize()
            times.append(start.elapsed_time(stop) / 1000.0)
        else:
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
    return min(times)
