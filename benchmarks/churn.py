"""Churn and streaming: recall, changes per second, query times and bytes, ours beside what others use.

    PYTHONPATH=. python benchmarks/churn.py [--rows 100000] [--width 128] [--threads 1] [--systems ours ...] [--page]

(a) Ten cycles of "delete 1 %, insert 1 %" (as VecOps-Bench); (b) 0, 28 and 500 changes per second, half of them
deletes, while a thread asks one query after the other (as VectorDBBench's streaming case). All systems see the same
history of the same vectors, in one process, with the same number of threads. Recall@10 is measured
against brute force in float64; ours must be 1 at every step, or nothing is reported. `--page` writes
benchmarks/results/churn.json and churn.md, of `--data normal` churn-normal. FAISS and usearch come with the extra
`bench`; for the others `pip install hnswlib lancedb qdrant-client`. What is not installed is named as missing.
"""

import argparse
import importlib.util
import json
import logging
import os
import statistics
import sys
import threading
import time
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from churn_shop import K, Shop, recall

RESULTS = Path(__file__).parent / "results"
QUERIES, CYCLES = 100, 10
RATES = (0, 28, 500)  # changes per second
TICK_S = 0.1  # changes are handed over together in so many seconds
MAINTAIN_S = 5.0


def say(line: str) -> None:
    """Show progress."""
    print(line, file=sys.stderr, flush=True)


@dataclass
class Run:
    """One system, its own copy of the history, and what was measured so far."""

    name: str
    system: Any
    shop: Shop
    out: dict[str, Any]

    def close(self) -> None:
        """Give back what the system holds outside."""
        self.system.close()


def build(name: str, make: Any, rows: int, options: argparse.Namespace, shop: Shop) -> Run:
    """Build one system, and choose what its searches may spend."""
    started = time.perf_counter()
    system = make(options.width, rows, options.threads)
    system.build(np.arange(rows), shop.vectors[:rows])
    out: dict[str, Any] = {"rows": rows, "build_s": time.perf_counter() - started, "bytes_of": system.bytes_of}
    true = shop.nearest()
    for effort in system.efforts or (None,):
        system.effort = effort
        out["recall_fresh"] = recall(system.search(shop.queries, K), true)
        if out["recall_fresh"] >= options.recall:
            break
    out |= {"effort": system.effort, "bytes_fresh": system.nbytes(), "cycles": [], "streams": []}
    say(f"  built in {out['build_s']:.1f} s, effort {system.effort}, recall {out['recall_fresh']:.3f}")
    return Run(name, system, shop, out)


def measure(runs: list[Run], options: argparse.Namespace) -> None:
    """Run both protocols, all systems by turns, so that what else the machine does falls on all of them."""
    for number in range(CYCLES):
        say(f"cycle {number + 1}/{CYCLES}")
        for run in runs:
            run.out["cycles"].append(_cycle(run.system, run.shop, run.out["rows"] // 100))
    streams: dict[str, list[list[dict[str, float]]]] = {run.name: [[] for _ in RATES] for run in runs}
    for number in range(options.repeat):
        for at, rate in enumerate(RATES):
            say(f"stream of {rate} changes/s, {number + 1}/{options.repeat}")
            for run in runs:
                streams[run.name][at].append(_stream(run.system, run.shop, rate, options.seconds))
    for run in runs:
        run.out["streams"] = [_middle(same) for same in streams[run.name]]
        run.system.maintain(keep_s=0.0)
        run.out["bytes_end"] = run.system.nbytes()


def _cycle(system: Any, shop: Shop, count: int) -> dict[str, float]:
    gone, new = shop.change(count)
    started = time.perf_counter()
    system.delete(gone)
    system.insert(new, shop.vectors[new])
    system.maintain()
    wall = time.perf_counter() - started
    got = recall(system.search(shop.queries, K), shop.nearest())
    return {"wall_s": wall, "changes_per_s": 2 * count / wall, "recall": got}


def _stream(system: Any, shop: Shop, rate: int, seconds: float) -> dict[str, float]:
    """Query without a pause while changes come at this rate; what is not done in time is not counted."""
    stop, walls, longest, applied, spent = time.perf_counter() + seconds, [], 0.0, 0, seconds
    problems: list[BaseException] = []

    def write() -> None:
        nonlocal applied, longest, spent
        begun, maintained = time.perf_counter(), time.perf_counter()
        try:
            while (now := time.perf_counter()) < stop:
                pairs = int((now - begun) * rate - applied) // 2
                if pairs:
                    gone, new = shop.change(pairs)
                    with system.turn:
                        system.delete(gone)
                        system.insert(new, shop.vectors[new])
                    applied += 2 * pairs
                    longest, spent = max(longest, time.perf_counter() - now), time.perf_counter() - begun
                if time.perf_counter() - maintained > MAINTAIN_S:
                    system.maintain()
                    maintained = time.perf_counter()
                time.sleep(max(0.0, TICK_S - (time.perf_counter() - now)))
        except BaseException as error:
            problems.append(error)
            raise

    for query in shop.queries[:20]:
        system.search(query[None], K)
    writer = threading.Thread(target=write)
    if rate:
        writer.start()
    number = 0
    while time.perf_counter() < stop:
        started = time.perf_counter()
        with system.turn:
            system.search(shop.queries[number % QUERIES][None], K)
        walls.append(1e3 * (time.perf_counter() - started))
        number += 1
    if rate:
        writer.join()
    if problems:
        raise problems[0]
    p50, p99 = np.percentile(walls, (50, 99))
    got = recall(system.search(shop.queries, K), shop.nearest())
    out: dict[str, float] = {
        "rate": rate,
        "changes_per_s": applied / spent,
        "p50_ms": p50,
        "p99_ms": p99,
        "jitter": p99 / p50,
    }
    out |= {"longest_write_ms": 1e3 * longest, "queries": number, "recall": got}
    say(f"  {system.name:<16}{out['changes_per_s']:4.0f}/s, p50 {p50:6.2f} ms, p99 {p99:6.2f} ms, recall {got:.3f}")
    return out


def _middle(runs: list[dict[str, float]]) -> dict[str, float]:
    """Join the runs of one rate: medians, but the longest write, the worst recall and also the least p50."""
    out = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    longest, worst = max(run["longest_write_ms"] for run in runs), min(run["recall"] for run in runs)
    out["least_p50_ms"] = min(run["p50_ms"] for run in runs)
    return out | {"longest_write_ms": longest, "recall": worst, "jitter": out["p99_ms"] / out["p50_ms"]}


def check_exact(name: str, row: dict[str, Any]) -> None:
    """Stop if ours ever missed a neighbour: the speed of wrong answers is not worth printing."""
    seen = [row["recall_fresh"], *(part["recall"] for part in (*row["cycles"], *row["streams"]))]
    if min(seen) < 1.0:
        raise SystemExit(f"{name} has recall {min(seen)}; it must be 1 at every step")


def main() -> None:
    """Measure every system that is installed and print the table; `--page` also writes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--data", choices=("clustered", "normal"), default="clustered")
    parser.add_argument("--threads", type=int, default=1, help="of a search and of a write each")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each stream")
    parser.add_argument("--repeat", type=int, default=3, help="rounds of all streams; medians are shown")
    parser.add_argument("--recall", type=float, default=0.95, help="that a fresh approximate index must reach")
    parser.add_argument("--systems", nargs="+", help="only those whose names begin so")
    parser.add_argument("--page", action="store_true", help="write benchmarks/results/churn*.json and .md")
    options = parser.parse_args()
    for variable in ("OMP_NUM_THREADS", "LANCE_CPU_THREADS", "RAYON_NUM_THREADS", "TOKIO_WORKER_THREADS"):
        os.environ[variable] = str(options.threads)  # before anything that reads them is loaded
    import torch
    from churn_page import environment, page, table
    from churn_systems import SYSTEMS, Ours

    from kernels.nearest.bench.draw import draw

    torch.set_num_threads(options.threads)
    logging.disable(logging.WARNING)
    for known in (".*Local mode is not recommended.*", ".*optimize\\(cleanup_older_than=0\\).*"):
        warnings.filterwarnings("ignore", message=known)
    spare = CYCLES * (options.rows // 100) + int(sum(RATES) * options.seconds * options.repeat) + 1
    generator = torch.Generator().manual_seed(0)
    drawn, queries = draw(options.rows + spare, QUERIES, options.width, options.data, torch.float32, generator)

    def shop(rows: int) -> Shop:
        return Shop(drawn.numpy(), queries.numpy(), np.arange(len(drawn)) < rows)

    report: dict[str, Any] = {"environment": environment(options), "systems": {}, "missing": []}
    wanted = [make for make in SYSTEMS if not options.systems or make.name.startswith(tuple(options.systems))]
    smallest = [make.most_rows for make in wanted if make.most_rows and make.most_rows < options.rows]
    plan = [(make, min(options.rows, make.most_rows or options.rows)) for make in wanted]
    plan += [(Ours, rows) for rows in sorted({*smallest})]  # beside those that hold less
    with ExitStack() as stack:
        running = []
        for number, (make, rows) in enumerate(plan, 1):
            name = make.name if rows == options.rows else f"{make.name}, {rows:,} rows"
            say(f"[{number}/{len(plan)}] {name}")
            if importlib.util.find_spec(make.needs) is None:
                say(f"  {make.needs} is not installed")
                report["missing"].append(make.name)
                continue
            running.append(build(name, make, rows, options, shop(rows)))
            stack.callback(running[-1].close)
        measure(running, options)
    for run in running:
        if isinstance(run.system, Ours):
            check_exact(run.name, run.out)
        report["systems"][run.name] = run.out
    print(table(report))
    if options.page:
        RESULTS.mkdir(exist_ok=True)
        name = "churn" if options.data == "clustered" else f"churn-{options.data}"
        (RESULTS / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
        (RESULTS / f"{name}.md").write_text(page(report))


if __name__ == "__main__":
    main()
