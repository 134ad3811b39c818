"""Time all pairs within a distance: the compiled scan, torch's products, and FAISS where it is installed.

    PYTHONPATH=. python benchmarks/pairs.py 20000 100000 --pairs 0.5 100 --turns 3

Clustered unit vectors; the distance is chosen so that a row has about so many others within it. All ways take turns in
one process, on one thread; figures are medians of the process's own time, in seconds.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from duplicates import clustered
from torch import Tensor

from kernels.nearest import pairs_among, pairs_within
from kernels.nearest.native import build, variants

SAMPLED = 500  # rows whose distances say which limit keeps how many


def limit_of(vectors: Tensor, each: float) -> float:
    """Find the squared distance within which a row has about `each` others."""
    rows = torch.arange(0, len(vectors), max(1, len(vectors) // SAMPLED))[:SAMPLED]
    apart = torch.cdist(vectors[rows].double(), vectors.double()).square()
    apart[torch.arange(len(rows)), rows] = torch.inf
    return float(apart.flatten().kthvalue(max(1, int(each * len(rows)))).values)


def by(variant: str, search: Callable[[], object]) -> Callable[[], object]:
    """Have a search run as one variant of the compiled scan, or as "none"."""

    def run() -> object:
        os.environ[variants.CHOICE] = variant
        return search()

    return run


def ways(vectors: Tensor, limit: float) -> dict[str, Callable[[], object]]:
    """Name the ways to find the pairs."""
    limits = torch.full((len(vectors),), limit)
    found: dict[str, Callable[[], object]] = {}
    for name, variant in (("compiled", ""), ("torch", "none")):
        found[f"among, {name}"] = by(variant, lambda: pairs_among(vectors, limit))
        found[f"within, {name}"] = by(variant, lambda: pairs_within(vectors, vectors, limits))
    try:
        import faiss
    except ImportError:
        return found
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatL2(vectors.shape[1])
    index.add(vectors.numpy())
    beyond = float(np.nextafter(np.float32(limit), np.float32(np.inf)))  # FAISS leaves out what is as far as the limit
    found["within, FAISS"] = lambda: index.range_search(vectors.numpy(), beyond)
    return found


def main() -> None:
    """Run what the command line names, and print a line each."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("counts", type=int, nargs="+", help="vectors")
    asked.add_argument("--dimensions", type=int, default=128)
    asked.add_argument("--pairs", type=float, nargs="+", default=[0.5, 100.0], help="others within the distance")
    asked.add_argument("--turns", type=int, default=3)
    options = asked.parse_args()
    torch.set_num_threads(1)
    print(f"compiled: {build.running()}")
    for count in options.counts:
        vectors = clustered(count, options.dimensions)
        for each in options.pairs:
            found, took = ways(vectors, limit_of(vectors, each)), dict[str, list[float]]()
            for _ in range(options.turns):
                for name, run in found.items():
                    begun = time.process_time()
                    run()
                    took.setdefault(name, []).append(time.process_time() - begun)
            said = ", ".join(f"{name} {statistics.median(times):.3f} s" for name, times in took.items())
            print(f"{count} x {options.dimensions}, {each:g} a row: {said}", flush=True)


if __name__ == "__main__":
    main()
