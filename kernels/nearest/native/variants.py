"""Which processors the compiled scan is written for, and which of its variants this one runs."""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

CHOICE = "NEAREST_NATIVE"  # the environment variable that names a variant, or "none"
AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma")
VNNI = (*AVX512, "-mavx512vnni")
BF16 = (*VNNI, "-mavx512bf16")
X86 = ("x86_64", "amd64")


@dataclass(frozen=True)
class Variant:
    """Flags of the compiler, whether this processor has the instructions, and the type that it multiplies fastest."""

    name: str
    flags: tuple[str, ...]
    runs: Callable[[], bool]
    fastest: str


def _x86(*needed: str) -> Callable[[], bool]:
    """Ask the processor, by the CPUID instruction: torch does so."""

    def runs() -> bool:
        known = platform.machine().lower() in X86
        return known and all(getattr(torch.cpu, f"_is_{name}_supported")() for name in needed)

    return runs


def _neon() -> bool:
    """Ask the operating system, since an ARM processor tells no one else."""
    known = Path("/proc/cpuinfo")
    return platform.machine() == "aarch64" and known.is_file() and "asimddp" in known.read_text(encoding="utf-8")


def _amx() -> bool:
    """Ask for the tiles too, which the operating system gives to a process on request."""
    return _x86("avx512", "vnni", "avx512_bf16", "amx_tile")() and torch.cpu._init_amx()


VARIANTS = (  # the best first
    Variant("amx", (*BF16, "-mamx-tile", "-mamx-bf16", "-mamx-int8"), _amx, "int8"),
    Variant("avx512_bf16", BF16, _x86("avx512", "vnni", "avx512_bf16"), "int8"),
    Variant("avx512_vnni", VNNI, _x86("avx512", "vnni"), "int8"),
    Variant("avx512", AVX512, _x86("avx512"), "int8"),
    Variant("avx2", ("-mavx2", "-mfma"), _x86("avx2"), "int8"),
    Variant("neon", ("-march=armv8.2-a+dotprod",), _neon, "int8"),
    Variant("portable", (), lambda: True, "float32"),  # vectors of 16 bytes, which any processor has
)


def chosen() -> Variant | None:
    """Name the variant to run: the best, or what the environment says; None for none.

    ValueError where the environment names what is not there, or what this processor does not run.
    """
    asked = os.environ.get(CHOICE, "")
    if asked == "none":
        return None
    for variant in VARIANTS:
        if asked in ("", variant.name) and variant.runs():
            return variant
    able = ", ".join(variant.name for variant in VARIANTS if variant.runs())
    raise ValueError(f"{CHOICE} is {asked!r}; this processor runs: {able}, and none")
