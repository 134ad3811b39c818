"""Time the evaluation of n x n retrieval, and the memory it takes, beside chunked torch.cdist and topk.

    python benchmarks/retrieval.py [--photos 15000 30000 60000] [--width 128] [--threads 1] [--no-peer]

Every row is a process of its own, so that its peak of memory is its own: the peak of the resident set less what was
resident before the evaluation, with torch loaded and the embeddings made. `--photos 450000` is a validation set of the
largest size that users asked about. Both sides answer the same question, and must agree. Linux only, for /proc.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np
import torch

from visnet.evaluation.retrieval import evaluate

PEER_QUERIES = 1024  # of one chunk: its distances are that many rows of N floats
MOST_PHOTOS = 10  # of a product, of as many as there are others: 5.5 in the mean


def photos(count: int, width: int, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """Make unit vectors [N, width] around their products' centres, and the products [N], in random order."""
    rng = np.random.default_rng(seed)
    product = np.repeat(np.arange(count), rng.integers(1, MOST_PHOTOS + 1, count))[:count]
    product = rng.permutation(product)
    centre = rng.standard_normal((int(product.max()) + 1, width), dtype=np.float32)
    vectors = torch.empty(count, width)
    for start in range(0, count, 4096):  # in parts, so that making them sets no peak
        own = product[start : start + 4096]
        spread = centre[own] + np.float32(1.4) * rng.standard_normal((len(own), width), dtype=np.float32)
        torch.nn.functional.normalize(torch.from_numpy(spread), out=vectors[start : start + 4096])
    return vectors, product


def peer(vectors: torch.Tensor, product: np.ndarray) -> tuple[float, float]:
    """Compute CMC@1 and mAP@R by cdist and topk, chunk by chunk, as metric-learning libraries do."""
    code = torch.from_numpy(product)
    relevant = torch.bincount(code)[code] - 1
    most = max(20, int(relevant.max()))
    first = average = 0.0
    for start in range(0, len(code), PEER_QUERIES):
        part = slice(start, start + PEER_QUERIES)
        distance = torch.cdist(vectors[part], vectors)
        own = torch.arange(len(distance))
        distance[own, start + own] = torch.inf
        hits = code[distance.topk(most, largest=False).indices] == code[part, None]
        asking = relevant[part] > 0
        first += float(hits[asking, 0].sum())
        hits &= torch.arange(most) < relevant[part, None]
        precision = hits.cumsum(1) * hits / torch.arange(1, most + 1)
        average += float((precision.sum(1)[asking] / relevant[part][asking]).sum())
    queries = int((relevant > 0).sum())
    return first / queries, average / queries


def resident_mib() -> float:
    """Return what this process holds in memory now."""
    return _status_mib("VmRSS")


def peak_mib() -> float:
    """Return the most that this process has held in memory."""
    return _status_mib("VmHWM")


def _status_mib(field: str) -> float:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(field + ":"))


def measure(method: str, count: int, width: int) -> dict[str, float]:
    """Evaluate once: seconds, growth of memory, and the two measures that both methods know."""
    vectors, product = photos(count, width)
    before, started = resident_mib(), time.perf_counter()
    if method == "peer":
        cmc, average = peer(vectors, product)
    else:
        got = evaluate(vectors, product)
        cmc, average = got.cmc[1], got.map_at_r
    wall = time.perf_counter() - started
    return {"wall_s": wall, "peak_mib": peak_mib() - before, "cmc_at_1": cmc, "map_at_r": average}


def main() -> None:
    """Print a row for every size: seconds and MiB of both ways, and the ratio of the seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, nargs="+", default=[15_000, 30_000, 60_000])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-peer", action="store_true", help="leave out cdist and topk")
    parser.add_argument("--measure", choices=["ours", "peer"], help=argparse.SUPPRESS)  # one row, in its own process
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.measure:
        print(json.dumps(measure(options.measure, options.photos[0], options.width)))
        return
    print(f"torch {torch.__version__}, threads {options.threads}, D {options.width}")
    for count in options.photos:
        row = {method: _apart(method, count, options) for method in (["ours"] if options.no_peer else ["ours", "peer"])}
        ours = row["ours"]
        line = f"{count:>8,} photos  ours {ours['wall_s']:8.2f} s {ours['peak_mib']:7.0f} MiB"
        if "peer" in row:
            for name in ("cmc_at_1", "map_at_r"):
                if abs(row["peer"][name] - ours[name]) > 1e-4:
                    raise SystemExit(f"{name}: {ours[name]} here, {row['peer'][name]} by cdist; one of them is wrong")
            line += f"   cdist+topk {row['peer']['wall_s']:8.2f} s {row['peer']['peak_mib']:7.0f} MiB"
            line += f"   ratio {row['peer']['wall_s'] / ours['wall_s']:.2f}"
        print(f"{line}   CMC@1 {ours['cmc_at_1']:.4f}  mAP@R {ours['map_at_r']:.4f}", flush=True)


def _apart(method: str, count: int, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", method, "--photos", str(count)]
    command += ["--width", str(options.width), "--threads", str(options.threads)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


if __name__ == "__main__":
    main()
