"""How much longer a search takes beside one other busy process: a loop that keeps a core for itself.

    python benchmarks/busy_core.py                   # some minutes; writes results/busy-core.md
    python benchmarks/busy_core.py --repeats 5

Vectors are clustered as embeddings are, by unit length. The loop is stopped and goes on from turn to turn, so that what
else the machine does falls on both alike; times are medians. FAISS' flat index answers in turns with ours.
"""

import argparse
import functools
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import faiss
import torch

from kernels.nearest import Gallery, nearest
from kernels.nearest.bench.draw import draw

RESULTS = Path(__file__).parent / "results"
SIZES = ((200_000, 512), (20_000, 512), (100_000, 128))  # rows and dimensions of galleries
ASKED = ((1, 10), (1, 1000), (16, 10), (16, 1000), (256, 20), (256, 1000))  # queries, k
LOOP = "while True: pass"


@contextmanager
def loop() -> Iterator[Callable[[bool], None]]:
    """Start a busy process that is stopped; give what has it go on or stop."""
    with subprocess.Popen([sys.executable, "-c", LOOP]) as busy:

        def turn(on: bool) -> None:
            os.kill(busy.pid, signal.SIGCONT if on else signal.SIGSTOP)
            time.sleep(0.05)

        try:
            turn(False)
            yield turn
        finally:
            busy.kill()


def ms(search: Callable[[], object]) -> float:
    """Return the milliseconds that a search takes."""
    begun_s = time.perf_counter()
    search()
    return (time.perf_counter() - begun_s) * 1e3


def row(ours: Callable[[], object], peer: Callable[[], object], repeats: int, busy: Callable[[bool], None]) -> str:
    """Time both, alone and beside the loop; return the cells of a row."""
    found: dict[tuple[str, bool], list[float]] = {}
    for search in (ours, peer):
        search()
    for _ in range(repeats):
        for on in (False, True):
            busy(on)
            for name, search in (("ours", ours), ("peer", peer)):
                found.setdefault((name, on), []).append(ms(search))
    busy(False)
    of = {key: statistics.median(times) for key, times in found.items()}
    cells = [(of[name, False], of[name, True]) for name in ("ours", "peer")]
    return " | ".join(f"{quiet:.2f} | {beside:.2f} | {beside / quiet:.2f}" for quiet, beside in cells)


def main() -> None:
    """Print a table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out", type=Path, default=RESULTS / "busy-core.md")
    asked = parser.parse_args()
    lines = [
        "# Beside one other busy process",
        "",
        f"`python benchmarks/busy_core.py --repeats {asked.repeats}`",
        "",
        f"{torch.get_num_threads()} threads of {os.cpu_count()} cores; torch {torch.__version__}, faiss "
        f"{faiss.__version__}. Milliseconds, medians: alone, beside the loop, and how many times as long.",
        "",
        "| rows × dimensions, queries, k | ours | beside | times | FAISS flat | beside | times |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    with loop() as busy:
        for rows, dimensions in SIZES:
            generator = torch.Generator().manual_seed(1)
            vectors, queries = draw(rows, 256, dimensions, "clustered", torch.float32, generator)
            gallery, flat = Gallery(vectors), faiss.IndexFlatL2(dimensions)
            flat.add(vectors.numpy())
            for count, k in ASKED:
                own = queries[:count].contiguous()
                ours, peer = functools.partial(nearest, own, gallery, k), functools.partial(flat.search, own.numpy(), k)
                cells = row(ours, peer, asked.repeats, busy)
                lines.append(f"| {rows:,} × {dimensions}, {count}, {k:,} | {cells} |")
                print(lines[-1], flush=True)
    asked.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
