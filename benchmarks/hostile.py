"""Ten thousand damaged, forged and costly photos through a service that runs, and a good one beside every fifth.

    python benchmarks/hostile.py --workspace FOLDER                    # a built one: minutes
    python benchmarks/hostile.py --workspace FOLDER --files 500

FOLDER is a workspace in which a version is published. The service is `python -m visnet serve` in a process of its own.
Prints how many were answered with which status, the slowest, and the memory of the service: its resident size before
the first, at the most, and after each tenth. Fails when one is answered with 5xx or not within a minute, when the
answer to a good photo changes, or when 200 MB more are held at the end than at some time of the first half.
"""

import argparse
import itertools
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.photos.pictures import noise, saved  # noqa: E402
from tests.serving.app import hostile  # noqa: E402

GROWTH_MB = 200
WAIT_S = 60.0


@contextmanager
def service(workspace: Path, *words: str) -> Iterator[tuple[str, psutil.Process]]:
    """Run `visnet serve` in a workspace; lend its address and process once it is ready."""
    command = [sys.executable, "-P", "-m", "visnet", "serve", "--port", "0", "--keep-queries", "100", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=workspace, env=env, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        url = child.stdout.readline().split()[-1]
        try:
            while True:
                try:
                    if httpx.get(f"{url}readyz").status_code == 200:
                        break
                except httpx.TransportError:
                    assert child.poll() is None, "the service has ended"
                time.sleep(0.1)
            yield url, psutil.Process(child.pid)
        finally:
            child.terminate()


class Memory:
    """The resident size of a process, looked at again and again."""

    def __init__(self, process: psutil.Process) -> None:
        self._process, self.most, self._stop = process, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def now(self) -> float:
        """Return megabytes."""
        return self._process.memory_info().rss / 1e6

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.1):
            self.most = max(self.most, self.now())


def run(url: str, process: psutil.Process, count: int, seed: int, at_once: int) -> bool:
    """Ask with all of them; print what came of it, and tell whether all was well."""
    memory, good = Memory(process), saved(noise(300, 200), "JPEG")
    client = httpx.Client(base_url=url, timeout=WAIT_S)

    def ask(photo: bytes) -> httpx.Response:
        return client.post("/v1/search", files={"photo": ("photo", photo)})

    wanted = ask(good).json()["results"]
    before = memory.now()
    statuses: Counter[tuple[str, int]] = Counter()
    slowest: list[tuple[float, str, int, int]] = []
    changed, tenths = [], [before]
    files = ((at, *file) for at, file in enumerate(itertools.islice(hostile.files(seed), count)))

    def one(file: tuple[int, str, bytes]) -> tuple[str, int, float, int]:
        at, kind, data = file
        if at % 5 == 0 and ask(good).json()["results"] != wanted:
            changed.append(at)
        begun_s = time.perf_counter()
        try:
            status = ask(data).status_code
        except httpx.TransportError:
            status = 0
        return kind, status, time.perf_counter() - begun_s, len(data)

    begun_s = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        for some in iter(lambda: list(itertools.islice(files, max(1, count // 10))), []):
            for kind, status, wall_s, size in pool.map(one, some):
                statuses[kind, status] += 1
                slowest = sorted([*slowest, (wall_s, kind, size, status)], reverse=True)[:5]
            ask(good)  # which gives back what the last one took
            tenths.append(memory.now())
    wall_s = time.perf_counter() - begun_s
    memory.stop()
    _told(statuses, slowest, wall_s)
    print(f"memory, MB: {before:.0f} before, {memory.most:.0f} at the most, after each tenth", end=" ")
    print(*(f"{one:.0f}" for one in tenths[1:]), sep=", ")
    print(f"good photos beside them: {-(-count // 5):,}, answered otherwise: {len(changed)}")
    faults = sum(number for (_, status), number in statuses.items() if status not in (200, 413, 415))
    ready = client.get("/readyz").status_code
    print(f"faults: {faults}; /readyz: {ready}")
    return not faults and not changed and ready == 200 and tenths[-1] - max(tenths[1:6]) < GROWTH_MB


def _told(statuses: Counter[tuple[str, int]], slowest: list[tuple[float, str, int, int]], wall_s: float) -> None:
    whole = sum(statuses.values())
    print(f"{whole:,} files in {wall_s:.0f} s, {whole / wall_s:.0f}/s")
    named = sorted({status for _, status in statuses})
    print("| kind | " + " | ".join(map(str, named)) + " |")
    print("|---|" + "---|" * len(named))
    for kind in [*dict.fromkeys(kind for kind, _ in statuses), ""]:
        row = [sum(n for (k, s), n in statuses.items() if s == status and kind in ("", k)) for status in named]
        print(f"| {kind or 'all'} | " + " | ".join(f"{number:,}" for number in row) + " |")
    told = ", ".join(f"{one_s:.2f} s ({kind}, {size / 1e3:.0f} kB, {status})" for one_s, kind, size, status in slowest)
    print(f"slowest: {told}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=int(np.random.default_rng().integers(2**31)))
    parser.add_argument("--at-once", type=int, default=8)
    asked = parser.parse_args()
    print(f"seed {asked.seed}, {asked.at_once} at once, load {os.getloadavg()[0]:.1f}", flush=True)
    with service(asked.workspace) as (url, process):
        well = run(url, process, asked.files, asked.seed, asked.at_once)
    sys.exit(not well)


if __name__ == "__main__":
    main()
