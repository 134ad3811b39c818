"""The GPU's tests and benchmarks in a limited time, each figure printed and written as it comes.

    python benchmarks/gpu.py [--only PART ...] [--budget 420] [--out benchmarks/results]

Takes the Python that is there, with its torch, torchvision and triton: nothing of dagster, dvc, mlflow or lance is
needed. FlashLib and FAISS are measured beside ours where they are installed. What ran, and what it printed, is written
to gpu-DEVICE.json; the search's own tables beside it.
"""

import argparse
import importlib.util
import json
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402 (ROOT must be importable first)

from benchmarks.timetable import Part, Ran, run  # noqa: E402
from kernels.nearest.bench.machine import commit, describe, slug  # noqa: E402

ROOMY = importlib.util.find_spec("xdist") is not None and (os.cpu_count() or 1) >= 8
PYTEST = (
    *("-m", "pytest", "-q", "-m", "gpu", "--durations", "8", "--tb", "short", "-p", "no:cacheprovider"),
    *("-W", "ignore::pytest.PytestConfigWarning"),  # settings of plugins that are not installed
    *(("-n", "8") if ROOMY else ()),  # a kernel is compiled for each type and kind of tile, by one core each
)
BENCH = ("-m", "kernels.nearest.bench", "--device", "cuda", "--tested", "--table")


def parts(out: Path) -> tuple[Part, ...]:
    """List everything there is to run, in the order of its worth."""

    def python(name: str, limit_s: float, *arguments: str) -> Part:
        return Part(name, (sys.executable, *arguments), limit_s)

    def searches(name: str, table: str, limit_s: float) -> Part:
        return python(name, limit_s, *BENCH, table, "--pairs", "15", "--out", str(out))

    def training(name: str, *arguments: str) -> Part:
        return python(name, 40, "benchmarks/training.py", "--device", "cuda", "--repeats", "2", *arguments)

    graphs = [f"tests/kernels/test_nearest_gpu_{one}.py" for one in ("replay", "score")]
    return (
        python("graph-tests", 60, *PYTEST, *graphs),
        python("kernel-tests", 120, *PYTEST, "tests/kernels", *(f"--ignore={one}" for one in graphs)),
        searches("searches", "alone", 80),
        python("model-tests", 80, *PYTEST, "tests/gpu"),
        training("training-small", "--config", "mildnet_small_hinge", "--photos", "8192", "--triplets", "128"),
        training("training-wide", "--config", "mildnet_all_trainable", "--side", "224"),
        python("embedding", 60, "benchmarks/embedding.py", "--device", "cuda"),
        searches("peers", "peers", 80),
        searches("large", "large", 120),
    )


def main() -> int:
    """Run what was asked for as far as there is time; return 1 where a part did not pass."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    asked = [part for part in parts(options.out) if not options.only or part.name in options.only]
    machine = describe("cuda")
    about = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit(), "machine": machine}
    path = options.out / f"gpu-{slug(machine['device'])}.json"
    ran: list[Ran] = []
    try:
        for one in run(asked, options.budget, lambda line: print(line, flush=True), {"PYTHONPATH": _path()}):
            ran.append(one)
            part = path.with_suffix(".part")
            part.write_text(json.dumps({**about, "parts": [asdict(one) for one in ran]}, indent=1) + "\n", "utf-8")
            part.replace(path)
    except KeyboardInterrupt:
        print("interrupted; what ran so far is kept")
    for one in ran:
        print(f"{one.name:<16}{one.status:<12}{one.took_s:7.1f} s")
    print(f"written: {path.name}, and nearest-*.json for the searches")
    return 0 if ran and all(one.status in ("passed", "not begun") for one in ran) else 1


def _path() -> str:
    """Have every part import from here first, then from wherever this process does."""
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [part.name for part in parts(Path())]
    parser.add_argument("--only", nargs="+", choices=names, help="parts, in the order of the list (default: all)")
    parser.add_argument("--budget", type=float, default=420.0, help="seconds for everything (default: 420)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder of the JSON")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("torch finds no GPU here")
    return options


if __name__ == "__main__":
    sys.exit(main())
