"""What Ray costs raw_images over one process: the same photos over HTTP by engine = "local" and "ray", in turns.

    PYTHONPATH=. python benchmarks/ray_download.py --photos 2000 --rounds 3 --json FILE

Draws so many photos, serves them from another process on loopback, and has the stage download and verify all of them,
each time from nothing and in a process of its own; "ray" on a cluster of this machine's own. Processor time is that of
the stage's process and of all that it starts, without the server's: until the first photo has come, and for each
further one. It fails when the digests differ.
"""

import argparse
import csv
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from ray_overhead import apart
from simulate_costs import shared

from visnet.photos import codec

SIDE_PX = 480
RUN = """
import contextlib, json, sys, time
import psutil
from visnet.photos import photo_table
from visnet.runs import runner

begun_s, marks, seen = time.monotonic(), [], {}
counted, me = photo_table._counted, psutil.Process()

def cpu_s():
    for one in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            seen[one.pid] = sum(one.cpu_times()[:2])
    return sum(seen.values())

def timed(answers, progress):
    for number, answer in enumerate(counted(answers, progress)):
        if number % 64 == 0:
            marks.append((number, time.monotonic(), cpu_s()))
        yield answer

photo_table._counted = timed
report = runner.run("raw_images", tables={"raw_images": json.loads(sys.argv[1])})
assert not report["lost"], report
(_, first_s, first_cpu_s), (last, last_s, last_cpu_s) = marks[0], marks[-1]
print(json.dumps({
    "wall_s": report["wall_s"], "digest": report["digest"], "first_s": first_s - begun_s, "first_cpu_s": first_cpu_s,
    "photo_ms": (last_s - first_s) / last * 1e3, "photo_cpu_ms": (last_cpu_s - first_cpu_s) / last * 1e3,
}))
"""


def draw(folder: Path, count: int) -> None:
    """Write photos: noise on a coarse pattern, each its own, of 40 kB or so."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(count):
        coarse = rng.integers(0, 256, (SIDE_PX // 40, SIDE_PX // 40, 3)).repeat(40, 0).repeat(40, 1)
        pixels = np.clip(coarse + rng.integers(-12, 13, coarse.shape), 0, 255).astype(np.uint8)
        (folder / f"{number}.jpg").write_bytes(codec.encode(Image.fromarray(pixels), 85))


def listed(folder: Path, count: int, address: str) -> dict[str, Any]:
    """List photos that are served at an address; return the parameters of the stage."""
    with (folder / "stock.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [["bag", number, f"{address}/{number}.jpg"] for number in range(count)]
        csv.writer(file).writerows([["_category", "_id", "_name"], *rows])
    table = {"download": {"allow_hosts": ["127.0.0.1"]}}
    return {"source": "table", "metadata": "stock.csv", "table": table}


def main() -> None:
    """Draw, download in turns, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="ray-download-") as where:
        folder = Path(where)
        draw(folder / "photos", options.photos)
        with shared(folder / "photos") as port:
            params = listed(folder, options.photos, f"http://127.0.0.1:{port}")
            for number in range(options.rounds):
                for engine in ("local", "ray"):
                    shutil.rmtree(folder / "data", ignore_errors=True)
                    runs.append({"engine": engine, **apart(RUN, folder, json.dumps({**params, "engine": engine}), 1)})
                    one = runs[-1]
                    print(
                        f"round {number + 1}  {engine:<5}  {one['wall_s']:6.1f} s, {one['first_s']:5.1f} s to the "
                        f"first, then {one['photo_ms']:5.2f} ms a photo; cpu {one['first_cpu_s']:5.1f} s, then "
                        f"{one['photo_cpu_ms']:5.2f} ms a photo",
                        flush=True,
                    )
    keys = ("wall_s", "first_s", "photo_ms", "first_cpu_s", "photo_cpu_ms")
    told = {
        engine: {key: statistics.median(one[key] for one in runs if one["engine"] == engine) for key in keys}
        for engine in ("local", "ray")
    }
    print(json.dumps(told, indent=2))
    if options.json:
        options.json.write_text(json.dumps({"photos": options.photos, **told, "runs": runs}, indent=2) + "\n", "utf-8")
    if len({one["digest"] for one in runs}) != 1:
        sys.exit("the digests differ")


if __name__ == "__main__":
    main()
