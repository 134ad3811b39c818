"""The search service beside a plain one of FastAPI and FAISS: the same model, photos and vectors, and one process each.

    python benchmarks/serve.py --workspace FOLDER --big FOLDER          # about half an hour; writes results/serve.md
    python benchmarks/serve.py --workspace FOLDER --big FOLDER --seconds 2 --rounds 1 --minutes 1

--workspace is a built shop (`make run`); --big is made if it is not there: 100,000 products of random unit vectors. The
services take turns, round by round, for the machine may do other work as well: ratios hold, times do not, and best
holds the processor time that a service takes for a request. A rate is of 16 clients that ask one after the other, times
are those at 70 % of that rate, from when a request was due. The bare model is its forward pass alone, on all processors
at once. Then the service is killed and started again, and versions are published under load.
"""

import argparse
import contextlib
import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import serve_load as load
import serve_shop
from serve_changes import HEADS, changed
from serve_requests import by_photo, similar
from serve_systems import OURS, PLAIN, UNBATCHED, UNKEPT, Bare, Service, started
from serve_versions import SHARE, refreshed, restarted

ADDED_PER_S, SEARCHES_PER_S = (10.0, 30.0, 60.0, 100.0), 10.0
CLIENTS = (1, 2, 4, 8, 16, 32)
FULL = 16  # clients that fill a batch
BARE = "the bare model, on all processors, in batches of up to 16"
RESULTS = Path(__file__).parent / "results"


@dataclass
class Measured:
    """What was measured of one service for one kind of request, over the rounds."""

    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    loads: list[load.Load] = field(default_factory=list)

    def row(self) -> str:
        """Return the medians, as cells of a table."""
        p50, p99 = statistics.median(self.p50_ms), statistics.median(self.p99_ms)
        cpu_ms = statistics.median(self.cpu_ms)
        rate = statistics.median(self.rates)
        return f"{cpu_ms:.2f} | {rate:,.0f} | {p50:.1f} | {p99:.1f} | {p99 / p50:.1f} | {load.failures(self.loads)}"


def measure(
    services: Sequence[Service], requests: dict[str, list[bytes]], seconds: float, rounds: int
) -> dict[str, Measured]:
    """Measure each of the services in turn, round by round."""
    found = {one.name: Measured() for one in services}
    for one in services:
        load.fastest(one.port, requests.get(one.name, requests[OURS]), 4, 1.0)
    for _ in range(rounds):
        for one in services:
            asked = requests.get(one.name, requests[OURS])
            cpu_s, most = one.cpu_s(), load.fastest(one.port, asked, 16, seconds)
            found[one.name].cpu_ms.append((one.cpu_s() - cpu_s) / max(1, len(most.times_s)) * 1e3)
            at_70 = load.steady(one.port, asked, SHARE * most.rate, seconds)
            mine = found[one.name]
            mine.rates.append(most.rate)
            mine.p50_ms.append(at_70.at(0.5))
            mine.p99_ms.append(at_70.at(0.99))
            mine.loads += (most, at_70)
    return found


def by_clients(
    services: Sequence[Service], alone: Bare, requests: dict[str, list[bytes]], seconds: float
) -> dict[str, list[tuple[float, float]]]:
    """Return photos a second and CPU ms of each, of the services by how many clients ask, and of the bare model.

    All take turns, and the model's batches are as large as those of the services can be.
    """
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in (*(one.name for one in services), BARE)}
    for clients in CLIENTS:
        for one in services:
            cpu_s = one.cpu_s()
            most = load.fastest(one.port, requests.get(one.name, requests[OURS]), clients, seconds)
            found[one.name].append((most.rate, (one.cpu_s() - cpu_s) / max(1, len(most.times_s)) * 1e3))
        found[BARE].append(alone.measure(min(clients, 16), seconds))
    return found


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return a table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]


def compared(workspace: Path, shop: Path, seconds: float, rounds: int, names: Sequence[str]) -> list[str]:
    """Measure services over a workspace, with photos of a shop; return what to tell of it."""
    with started(names[0], workspace) as first, started(names[1], workspace) as second:
        services = [first, second]
        rows = []
        for kind, requests in {"similar by id": similar(workspace), "by photo": by_photo(shop)}.items():
            for name, found in measure(services, requests, seconds, rounds).items():
                rows.append([kind, name, *found.row().split(" | ")])
    return table(
        ["asked", "service", "CPU ms a request", "requests/s", "p50 at 70 %, ms", "p99, ms", "p99/p50", "failed"], rows
    )


def batched(workspace: Path, seconds: float, rounds: int) -> list[str]:
    """Measure photos by how many clients ask at once, beside the bare model; return what to tell of it."""
    alone = Bare(workspace)
    with contextlib.ExitStack() as running:
        services = [running.enter_context(started(name, workspace)) for name in (OURS, UNKEPT, UNBATCHED, PLAIN)]
        found = [by_clients(services, alone, by_photo(workspace), seconds) for _ in range(rounds)]
    both = {name: np.array([one[name] for one in found]) for name in found[0]}  # [rounds, clients, rate and CPU ms]
    rows = [[name, *(f"{rate:.0f} / {ms:.1f}" for rate, ms in np.median(one, axis=0))] for name, one in both.items()]
    lines = table(["photos/s / CPU ms a photo, of clients", *CLIENTS], rows)
    bare, many = both.pop(BARE), [at for at, clients in enumerate(CLIENTS) if clients >= FULL]
    shares = ", ".join(
        f"{name} {np.median((one / bare)[:, many, 0]):.0%} and {np.median((bare / one)[:, many, 1]):.0%}"
        for name, one in both.items()
    )
    less = np.median((both[UNBATCHED] / both[UNKEPT])[:, many, 1])
    return [
        *lines,
        "",
        f"As a share of the bare model's in the same turn, of {FULL} clients and more (medians), by photos/s and CPU: "
        f"{shares}.",
        f"Batching takes {less:.2f} times less of the processor than one at a time.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--big", type=Path, required=True)
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10.0, help="of publishing under load")
    parser.add_argument("--every", type=float, default=30.0, help="seconds between versions")
    parser.add_argument("--out", type=Path, default=RESULTS / "serve.md")
    asked = parser.parse_args()
    if not (asked.big / "data/publish/current").exists():
        serve_shop.write(asked.big, asked.workspace, asked.products)
    if (models := [serve_shop.model(folder) for folder in (asked.big, asked.workspace)])[0] != models[1]:
        parser.error(
            f"--big is of the model {models[0]}, --workspace of {models[1]}: remove {asked.big}, to be made anew"
        )
    lines = [
        "# The search service beside a plain one",
        "",
        f"`python benchmarks/serve.py {_words(asked)}`",
        "",
        *_machine(),
    ]
    parts: dict[str, Callable[[], list[str]]] = {
        "A built shop": lambda: compared(asked.workspace, asked.workspace, asked.seconds, asked.rounds, (OURS, PLAIN)),
        "Batches": lambda: batched(asked.workspace, asked.seconds / 2, asked.rounds),
        f"{asked.products:,} products": lambda: compared(
            asked.big, asked.workspace, asked.seconds, asked.rounds, (OURS, PLAIN)
        ),
        "Killed and started again": lambda: _killed(asked.big),
        "New versions under load": lambda: refreshed(asked.big, asked.minutes, asked.every),
        "Two workers": lambda: _two_workers(asked.workspace, asked.workspace, asked.seconds),
        f"Two workers, {asked.products:,} products": lambda: _two_workers(asked.big, asked.workspace, asked.seconds),
        "Products that are added while photos are searched with": lambda: _changed(asked),
    }
    for head, part in parts.items():
        print(f"{head}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
        before = os.getloadavg()[0]
        lines += [
            "",
            f"## {head}",
            "",
            *part(),
            "",
            f"(load of the machine {before:.1f}, then {os.getloadavg()[0]:.1f})",
        ]
        asked.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _killed(big: Path) -> list[str]:
    found = restarted(big)
    told = ", ".join(f"{ready_s:.1f} s ({cpu_s:.1f} s of processor time)" for ready_s, cpu_s in found)
    return [f"kill -9, then ready again after {told}."]


def _two_workers(workspace: Path, shop: Path, seconds: float) -> list[str]:
    sizes = []
    for name in (OURS, f"{OURS}, 2 workers"):
        with started(name, workspace) as service:
            load.fastest(service.port, similar(workspace)[OURS], 4, 1.0)
            sizes.append(service.shared_mb())
    told = "Memory, what they share counted once: {:,.0f} MB with one worker, {:,.0f} with two.".format(*sizes)
    return [*compared(workspace, shop, seconds, 1, (f"{OURS}, 2 workers", PLAIN)), "", told]


def _changed(asked: argparse.Namespace) -> list[str]:
    told = [
        f"Products with a photo each, beside {SEARCHES_PER_S:g} searches a second by photo, over {asked.products:,} "
        "products; every 20th is waited for, and searched for with its photo.",
        "",
    ]
    return told + table(HEADS, changed(asked.big, asked.workspace, ADDED_PER_S, 4 * asked.seconds + 5, SEARCHES_PER_S))


def _words(asked: argparse.Namespace) -> str:
    return f"--workspace SHOP --big BIG --seconds {asked.seconds:g} --rounds {asked.rounds} --minutes {asked.minutes:g}"


def _machine() -> list[str]:
    from importlib import metadata

    names = ("torch", "fastapi", "uvicorn", "faiss-cpu", "numpy")
    rate = load.ceiling(3.0)
    return [
        f"{psutil.cpu_count()} cores, {platform.machine()}; " + ", ".join(f"{n} {metadata.version(n)}" for n in names),
        "",
        f"Loopback; the load shares the cores with what it measures. It counts {rate:,.0f} answers/s of 5 kB from a "
        "server that does nothing: the most that could be seen.",
    ]


if __name__ == "__main__":
    main()
