"""Print a table of `nearest` beside its peers and write it as JSON; print no figure where a test is red."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from kernels.nearest.bench.machine import ROOT, commit, describe, pin, slug
from kernels.nearest.bench.measure import WorkRow
from kernels.nearest.bench.peer import Peer
from kernels.nearest.bench.peers import peers_on
from kernels.nearest.bench.roofs import QUICK_SIZES, SIZES, Roofs, measure_roofs
from kernels.nearest.bench.sheet import k_lines, lines, roof_line, write
from kernels.nearest.bench.suite import Suite
from kernels.nearest.bench.work import QUICK, TABLES, Work

PLUGINS = ("-W", "ignore::pytest.PytestConfigWarning")  # settings of plugins that are not installed
PYTEST = (sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *PLUGINS, "tests/kernels", "-m")
TIMED = (*PYTEST, "not gpu and not interpret and not aot")  # neither Triton's interpreter nor its compiler is timed
TESTS = {
    "cpu": (TIMED,),
    "cuda": ((*PYTEST, "gpu"),),
}


def main(
    arguments: Sequence[str] | None = None,
    *,
    tests: Sequence[Sequence[str]] | None = None,
    works: Sequence[Work] | None = None,
    peers: tuple[Peer, ...] | None = None,
    roofs: Roofs | None = None,
) -> int:
    """Run tests, then works; return 1 on red tests or where `nearest` failed, 130 on an interrupt.

    tests, works, peers and roofs stand in for the commands, the table, the peers and the measured roofs.
    """
    options = _options(arguments)
    device: str = options.device
    start = time.monotonic()

    def log(text: str) -> None:
        print(f"{time.monotonic() - start:7.1f} s  {text}", file=sys.stderr, flush=True)

    rows: list[WorkRow] = []
    complete = False
    try:
        if not options.tested:
            log("running the tests of kernels.nearest")
        if not options.tested and not all(green(command) for command in tests or TESTS[device]):
            print("the tests of kernels.nearest fail, so no figure is printed", file=sys.stderr)
            return 1
        pin(options.threads or torch.get_num_threads())
        machine = describe(device)
        print(*(f"{name} {value or 'not installed'}" for name, value in machine.items()), sep=" · ")
        log("measuring the roofs")
        roofs = roofs or measure_roofs(device, *(QUICK_SIZES if options.quick else SIZES)[device])
        print(roof_line(roofs), end="\n\n", flush=True)
    except KeyboardInterrupt:
        print("interrupted before anything was measured", file=sys.stderr)
        return 130
    table = "quick" if options.quick else options.table
    path = options.out / f"nearest-{slug(machine['device'])}-{table}.json"
    about = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit()}
    budget_s, serve_s = (0.3, 1.0) if options.quick else (2.0, 5.0)  # a peer and a stream
    suite = Suite(device, peers or peers_on(device), roofs, log, options.pairs, budget_s, serve_s)
    try:
        for row in suite.run(works or (QUICK[device] if options.quick else TABLES[device][table])):
            rows.append(row)
            print(*lines(row), sep="\n", end="\n\n", flush=True)
            write(path, machine, roofs, rows, **about, complete=False)
        complete = True
    except KeyboardInterrupt:
        print("interrupted; what was measured so far is kept", file=sys.stderr)
    finally:
        write(path, machine, roofs, rows, **about, complete=complete)
    print(*k_lines(rows), sep="\n")
    print(f"written: {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name}")
    if not complete:
        return 130
    return 1 if any(row.status != "measured" for row in rows) else 0


def green(command: Sequence[str]) -> bool:
    """Run the tests of what is about to be timed; their output goes to stderr."""
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    return subprocess.run(command, cwd=ROOT, env=env, stdout=2).returncode == 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kernels.nearest.bench", description=__doc__)
    parser.add_argument("--device", choices=sorted(TABLES), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--pairs", type=int, default=7, help="timed pairs a peer, fewer of slow ones (default: 7)")
    parser.add_argument("--threads", type=int, help="of every library (default: torch's choice)")
    parser.add_argument("--table", default="peers", help="of loads: peers, and for a GPU alone and large too")
    parser.add_argument("--tested", action="store_true", help="the tests have just passed: do not run them")
    parser.add_argument("--quick", action="store_true", help="small galleries, half a minute; a file of its own")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder of the JSON")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU here")
    if options.table not in TABLES[options.device]:
        parser.error(f"--table {options.table}: of {options.device} there are {', '.join(TABLES[options.device])}")
    return options


if __name__ == "__main__":
    sys.exit(main())
