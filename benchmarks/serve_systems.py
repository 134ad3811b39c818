"""The services that are measured, each in a process of its own, and the bare model."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).resolve().parent.parent
OURS, UNKEPT, UNBATCHED, PLAIN = "visnet", "visnet, keeping no queries", "the same, unbatched", "plain FastAPI + FAISS"
ALONE = """
import sys
from visnet.serving.searcher import Searcher
Searcher.sizes_alike = lambda self: (1,)
from visnet.__main__ import main
sys.exit(main())
"""


@dataclass(frozen=True)
class Service:
    """A service that runs: its name, port and process, and the seconds until it was ready."""

    name: str
    port: int
    pid: int
    ready_s: float

    def resident_mb(self) -> tuple[float, float]:
        """Return the resident size of the process and its children, and how much of it no file is mapped into."""
        whole = psutil.Process(self.pid)
        sizes = [one.memory_info() for one in [whole, *whole.children(recursive=True)]]
        return sum(one.rss for one in sizes) / 1e6, sum(one.rss - one.shared for one in sizes) / 1e6

    def shared_mb(self) -> float:
        """Return the memory of the process and its children, each page counted once, however many have it."""
        whole = psutil.Process(self.pid)
        return sum(one.memory_full_info().pss for one in [whole, *whole.children(recursive=True)]) / 1e6

    def cpu_s(self) -> float:
        """Return the seconds of processor time that the process and its children have taken."""
        whole = psutil.Process(self.pid)
        times = [one.cpu_times() for one in [whole, *whole.children(recursive=True)]]
        return float(sum(one.user + one.system for one in times))


@contextmanager
def started(name: str, workspace: Path) -> Iterator[Service]:
    """Run a service over what a workspace serves, until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    unbounded = ["--searches-per-s", "1000000", "--writes-per-s", "1000000"]  # all clients here have one address
    serve = ["serve", "--port", str(port), *unbounded, *(["--workers", "2"] if name.endswith("2 workers") else [])]
    if name == PLAIN:
        command, ready = [sys.executable, str(ROOT / "benchmarks/serve_plain.py"), str(workspace), str(port)], "ready"
    elif name == UNBATCHED:
        command, ready = [sys.executable, "-P", "-c", ALONE, *serve, "--keep-queries", "0"], "readyz"
    else:
        command, ready = [sys.executable, "-P", "-m", "visnet", *serve], "readyz"
        command += ["--keep-queries", "0"] if name == UNKEPT else []
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    begun_s = time.perf_counter()
    with subprocess.Popen(command, cwd=workspace, env=env, stdout=subprocess.DEVNULL) as child:
        try:
            while not _is_ready(f"http://127.0.0.1:{port}/{ready}"):
                if child.poll() is not None:
                    raise RuntimeError(f"{name} has ended")
                time.sleep(0.02)
            yield Service(name, port, child.pid, time.perf_counter() - begun_s)
        finally:
            child.terminate()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


class Bare:
    """The forward pass alone, in the precision of the version's vectors and `ready`, as the services have it."""

    def __init__(self, workspace: Path) -> None:
        import torch

        from visnet.embedding.embed import ready
        from visnet.embedding.model_id import precision_of
        from visnet.serving import catalog
        from visnet.zoo import weights

        torch.set_num_threads(1)
        with catalog.open_current(workspace / "data") as version:
            model, entry = weights.load(version.trained_model)
            precision = precision_of(version.vectors().model)
        self._bf16 = precision == "bf16"
        self._model = ready(model.eval(), entry.side_px, precision).to(memory_format=torch.channels_last)
        self._side_px = entry.side_px

    def measure(self, size: int, seconds: float) -> tuple[float, float]:
        """Return the photos a second in batches of a size, and the CPU ms of each.

        By as many threads at once as there are processors, each with a batch of its own: what the machine gives. Two
        that share a core take longer for a photo.
        """
        threads = os.cpu_count() or 1
        begun_s, cpu_s = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(threads) as pool:
            count = sum(pool.map(self._run, [size] * threads, [seconds] * threads))
        return count / (time.perf_counter() - begun_s), (time.process_time() - cpu_s) / count * 1e3

    def _run(self, size: int, seconds: float) -> int:
        import torch

        photos = torch.rand(size, 3, self._side_px, self._side_px).to(memory_format=torch.channels_last)
        count, until_s = 0, time.perf_counter() + seconds
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
            while time.perf_counter() < until_s:
                self._model(photos)
                count += size
        return count
