"""Time `nearest` beside its peers: `python -m kernels.nearest.bench`, after its tests and only if they pass."""

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kernels.nearest import nearest

ROOT = Path(__file__).parents[2]
ROW = "{q:>6} {g:>9} {d:>5} {k:>5} {dtype:>9}  {peer:<18} {nearest_s:>10.4f} {peer_s:>9.4f} {ratio:>8.2f}"
Search = Callable[[Tensor, int], object]


@dataclass(frozen=True)
class Work:
    """One load: Q queries against G gallery rows of D values, the k nearest of each."""

    q: int
    g: int
    d: int
    k: int
    dtype: str


WORK = {
    "cpu": tuple(Work(q, 200_000, 512, 20, "float32") for q in (1, 16, 256)),
    "cuda": tuple(
        Work(q, 2_000_000, 512, k, dtype) for q in (16, 512) for k in (10, 100) for dtype in ("float32", "bfloat16")
    ),
}


def mm_topk(gallery: Tensor) -> Search:
    """Norm expansion and top-k over the whole score matrix: what one writes by hand. Norms are ready beforehand."""
    sq_norm = torch.linalg.vector_norm(gallery, dim=1, dtype=torch.float32).square()
    return lambda queries, k: (sq_norm - 2.0 * (queries @ gallery.T)).topk(k, dim=1, largest=False)


def faiss_flat(gallery: Tensor) -> Search | None:
    """FAISS's exact index on the CPU, built beforehand; None where it is not installed or not comparable."""
    if gallery.device.type != "cpu" or gallery.dtype != torch.float32:
        return None
    try:
        faiss = importlib.import_module("faiss")
    except ImportError:
        return None
    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.IndexFlatL2(gallery.shape[1])
    index.add(gallery.numpy())
    return lambda queries, k: index.search(queries.numpy(), k)


PEERS = {"torch mm+topk": mm_topk, "faiss IndexFlatL2": faiss_flat}


def measure(work: Work, device: str, pairs: int) -> list[dict[str, Any]]:
    """Time each peer and `nearest` in turn on random normal data, `pairs` times after a warm-up; one row a peer."""
    generator = torch.Generator(device).manual_seed(0)
    dtype = getattr(torch, work.dtype)
    gallery = torch.randn(work.g, work.d, generator=generator, device=device).to(dtype)
    queries = torch.randn(work.q, work.d, generator=generator, device=device).to(dtype)
    rows = []
    for name, build in PEERS.items():
        peer = build(gallery)
        if peer is None:
            continue
        times = []
        for _ in range(pairs + 1):
            ours = _wall_s(lambda: nearest(queries, gallery, work.k), device)
            times.append((ours, _wall_s(lambda peer=peer: peer(queries, work.k), device)))  # type: ignore[misc]
        ours_s, peer_s = (statistics.median(column) for column in zip(*times[1:], strict=True))
        ratio = statistics.median(theirs / ours for ours, theirs in times[1:])
        rows.append({**asdict(work), "peer": name, "nearest_s": ours_s, "peer_s": peer_s, "ratio": ratio})
    return rows


def _wall_s(call: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def tests_pass(device: str) -> bool:
    """Run the tests of what is about to be timed; their output goes to stderr."""
    files = ["tests/kernels/test_nearest.py"] + (["tests/kernels/test_nearest_gpu.py"] if device == "cuda" else [])
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", *files]
    return subprocess.run(command, cwd=ROOT, env=env, stdout=sys.stderr).returncode == 0


def machine(device: str) -> dict[str, Any]:
    """Describe where the numbers come from."""
    name = torch.cuda.get_device_name() if device == "cuda" else _cpu_name()
    versions = {name: metadata.version(name) for name in ("torch", "triton", "faiss-cpu") if _installed(name)}
    return {"device": name, "threads": torch.get_num_threads(), "python": platform.python_version(), **versions}


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _installed(name: str) -> bool:
    return any(True for _ in metadata.distributions(name=name))


def main() -> int:
    """Print a table and write benchmarks/results/nearest-DEVICE.json; return 1, and print no figure, on red tests."""
    parser = argparse.ArgumentParser(prog="python -m kernels.nearest.bench", description=__doc__)
    parser.add_argument("--device", choices=sorted(WORK), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--pairs", type=int, default=5, help="timed pairs for each peer, interleaved (default: 5)")
    options = parser.parse_args()
    if not tests_pass(options.device):
        print("the tests of kernels.nearest fail, so no figure is printed", file=sys.stderr)
        return 1
    where = machine(options.device)
    print(*(f"{name} {value}" for name, value in where.items()), sep=" · ")
    print("     Q         G     D     k     dtype  peer                nearest_s    peer_s  times as fast (median)")
    rows = []
    for work in WORK[options.device]:
        for row in measure(work, options.device, options.pairs):
            rows.append(row)
            print(ROW.format(**row), flush=True)
    slug = "-".join("".join(c if c.isalnum() else " " for c in str(where["device"])).lower().split())
    path = ROOT / "benchmarks" / "results" / f"nearest-{slug}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": where, "rows": rows}, indent=2) + "\n")
    print(f"written: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
