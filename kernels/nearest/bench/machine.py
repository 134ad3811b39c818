"""The machine: its name, the versions that matter, its free memory, and one number of threads for every library."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[3]
PACKAGES = (
    *("numpy", "triton", "faiss-cpu", "faiss-gpu-cuvs", "faiss-gpu-cu12", "flashlib"),
    *("scikit-learn", "usearch", "numkong", "zvec", "turbovec", "threadpoolctl"),
)


def describe(device: str) -> dict[str, Any]:
    """Name the device, its threads and memory, and the versions of what is timed; None where not installed."""
    found: dict[str, Any] = {"device": torch.cuda.get_device_name() if device == "cuda" else _cpu_name()}
    if device == "cuda":
        found |= {"memory_bytes": torch.cuda.get_device_properties(0).total_memory, "cuda": torch.version.cuda}
    found |= {"threads": torch.get_num_threads(), "isa": torch.backends.cpu.get_cpu_capability()}
    found |= {"python": platform.python_version(), "torch": torch.__version__}
    return found | {package: _version(package) for package in PACKAGES}


def slug(name: str) -> str:
    """Turn a device's name into a file's."""
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name).lower().split())


def commit() -> str | None:
    """Name the commit that is measured, with "-dirty" where files differ from it; None outside a repository."""
    try:
        head = _git("rev-parse", "HEAD")
        return head.stdout.strip() + ("-dirty" if _git("diff", "--quiet", "HEAD").returncode else "") or None
    except OSError:
        return None


def pin(threads: int) -> None:
    """Give every library that is loaded the same number of threads."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    if "faiss" in sys.modules:
        sys.modules["faiss"].omp_set_num_threads(threads)
    try:
        import threadpoolctl
    except ImportError:
        return  # numpy's BLAS then runs as OMP_NUM_THREADS says
    threadpoolctl.threadpool_limits(threads)


def free_bytes(device: str) -> int:
    """Measure the memory that can still be taken."""
    if device == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info()[0]
    info = Path("/proc/meminfo")
    if info.exists():
        lines = dict(line.split(":", 1) for line in info.read_text(encoding="utf-8").splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _git(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
