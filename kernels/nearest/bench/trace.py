"""Where the time of a search on a GPU goes: its kernels, by what they take together."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

MOST = 8  # kernels that are told of; the rest is one line


@dataclass(frozen=True)
class KernelTime:
    """Launches of one kernel in one search, and what they take together on the device."""

    name: str
    launches: int
    took_ms: float


def trace(call: Callable[[], object]) -> tuple[KernelTime, ...]:
    """Say what the device does in one call, the dearest kernel first; the last one is the rest, if there is any."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        call()
        torch.cuda.synchronize()
    events = [event for event in profile.key_averages() if event.self_device_time_total > 0]
    told = sorted(
        (KernelTime(_short(event.key), event.count, event.self_device_time_total / 1e3) for event in events),
        key=lambda kernel: -kernel.took_ms,
    )
    rest = told[MOST:]
    if not rest:
        return tuple(told)
    others = KernelTime("the rest", sum(one.launches for one in rest), sum(one.took_ms for one in rest))
    return (*told[:MOST], others)


def _short(name: str) -> str:
    """Leave out the template arguments of a kernel's name, which say hundreds of letters."""
    plain = name.removeprefix("void ")
    return plain.split("(")[0][:72]
