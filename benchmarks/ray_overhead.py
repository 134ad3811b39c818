"""What Ray costs over one process at equal cores: the same crops embedded by engine = "local" and "ray", in turns.

    PYTHONPATH=. python benchmarks/ray_overhead.py --crops 20000 --rounds 3 --json FILE

Draws so many crops as JPEGs, and embeds all of them by the stage catalog_embeddings, each time from nothing and in a
process of its own: by one process with a thread per core, and by a cluster of this machine's own with as many CPUs,
whose processes have `--threads` threads each. Seconds are those of the stage, the start of the cluster and of its
processes included (until the first crops are there); rates are those of the second half, which wants many thousand
crops: Ray makes some blocks ahead. Processor time is that of the stage's process and of all that it starts: until the
first crops, and for each crop of the second half. It fails when the digests of runs with equal threads differ.

With `--alone` one process more decodes the same crops without a network, and puts as many squares through the network
without decoding: what "local" does in turn on the same cores.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from visnet import zoo
from visnet.photos import codec
from visnet.stages.crops import CROP
from visnet.storage.table import Table
from visnet.zoo import weights

ROOT = Path(__file__).resolve().parent.parent
SIDE_PX, AT_ONCE = 160, 2048
RUN = """
import contextlib, json, sys, time
import psutil
from visnet.runs import runner
from visnet.stages import catalog_embeddings as stage

begun_s, firsts, seen = time.monotonic(), [], {}
made, me = stage._embedded, psutil.Process()

def cpu_s():
    for one in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            seen[one.pid] = sum(one.cpu_times()[:2])
    return sum(seen.values())

@contextlib.contextmanager
def timed(*args):
    with made(*args) as found:
        def counted():
            for rows, vectors in found:
                looked = len(rows) > 100 or not len(firsts) % 8
                firsts.append((time.monotonic(), len(rows), cpu_s() if looked else None))
                yield rows, vectors
        yield counted()

stage._embedded = timed
report = runner.run("catalog_embeddings", tables={"catalog_embeddings": json.loads(sys.argv[1])})
half = firsts[len(firsts) // 2:]  # when what was made ahead of the first is long taken
rows = sum(count for _, count, _ in half[1:])
known = [at for at, (_, _, spent_s) in enumerate(half) if spent_s is not None]
between = sum(count for _, count, _ in half[known[0] + 1 : known[-1] + 1]) if known else 0
print(json.dumps({
    "wall_s": report["wall_s"], "digest": report["digest"], "first_s": firsts[0][0] - begun_s,
    "crops_per_s": rows / max(half[-1][0] - half[0][0], 1e-9), "first_cpu_s": firsts[0][2],
    "crop_cpu_ms": (half[known[-1]][2] - half[known[0]][2]) / between * 1e3 if between else None,
}))
"""
ALONE = """
import json, os, sys, time
from pathlib import Path
import torch
from visnet.embedding.crop_dataset import CropImages
from visnet.embedding.embed import embed
from visnet.storage.table import Table
from visnet.zoo import weights

batch = json.loads(sys.argv[1])["batch"]
path = Path("data/crops/crops.lance")
names = sorted(Table(path).read(["crop_id"])["crop_id"].to_pylist())
model, entry = weights.load(Path("data/trained_model"))
images = CropImages(path, names, entry.side_px, keep=False)

class Few(torch.utils.data.Dataset):
    squares = torch.randint(0, 256, (batch, 3, entry.side_px, entry.side_px), dtype=torch.uint8)
    def __len__(self): return len(names)
    def __getitems__(self, rows): return self.squares[: len(rows)]

def decode():
    for first in range(0, len(names), batch):
        torch.stack(images.__getitems__(range(first, min(first + batch, len(names)))))

def network(photos=None):
    for _ in embed(model, Few() if photos is None else photos, batch=batch):
        pass

network([Few.squares[0]] * batch)
told = {}
for name, work in (("decode", decode), ("network", network), ("both", lambda: network(images))):
    begun_s, before_s = time.monotonic(), sum(os.times()[:2])
    work()
    told |= {f"{name}_s": time.monotonic() - begun_s, f"{name}_cpu_s": sum(os.times()[:2]) - before_s}
print(json.dumps(told))
"""


def draw(path: Path, count: int) -> None:
    """Write a table of crops: noise on a coarse pattern, each its own."""
    table, rng = Table(path, "crop_id"), np.random.default_rng(1)
    for first in range(0, count, AT_ONCE):
        rows = []
        for number in range(first, min(first + AT_ONCE, count)):
            coarse = rng.integers(0, 256, (8, 6, 3)).repeat(20, 0).repeat(20, 1)
            pixels = np.clip(coarse + rng.integers(-12, 13, (SIDE_PX, 120, 3)), 0, 255).astype(np.uint8)
            image = codec.encode(Image.fromarray(pixels), 90)
            name, content = f"c{number:07d}", hashlib.sha256(image).hexdigest()[:32]
            facts = {"crop_id": name, "photo_id": name, "product_id": f"p{number // 2:07d}", "category": "bag"}
            facts |= {"side": "shop", "split": "test", "colour": "", "gender": "", "image": image}
            rows.append({**facts, "source": content, "content": content})
        table.put(pa.Table.from_pylist(rows, schema=CROP))


def embed(folder: Path, engine: str, threads: int, options: argparse.Namespace) -> dict[str, Any]:
    """Embed all crops from nothing, in a process of its own."""
    shutil.rmtree(folder / "data/catalog_embeddings", ignore_errors=True)
    chosen = json.dumps({"engine": engine, "batch": options.batch})
    return {"engine": engine, "threads": threads, **apart(RUN, folder, chosen, threads)}


def apart(code: str, folder: Path, chosen: str, threads: int) -> dict[str, Any]:
    """Run code in a process of its own in a folder; return what it prints last."""
    environ = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, chosen], cwd=folder, env=environ, check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Draw, embed in turns, and print the medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--model", default="efficientnet_lite0")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--threads", type=int, default=cores, help="of each process of the cluster")
    parser.add_argument("--alone", action="store_true", help="also decoding alone, and the network alone")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ray-overhead-") as where:
        folder = Path(where)
        begun_s = time.monotonic()
        draw(folder / "data/crops/crops.lance", options.crops)
        entry = zoo.entry(options.model)
        weights.save(zoo.build_model(entry, seed=1), entry.toml(), folder / "data/trained_model")
        (folder / "data/photo_quality").mkdir()
        print(f"{options.crops} crops drawn in {time.monotonic() - begun_s:.0f} s; {cores} cores")
        runs = []
        for number in range(options.rounds):
            for engine, threads in (("local", cores), ("ray", options.threads)):
                runs.append(embed(folder, engine, threads, options))
                one = runs[-1]
                print(
                    f"round {number + 1}  {engine:<5}  {threads} threads  {one['wall_s']:7.1f} s, "
                    f"{one['first_s']:5.1f} s to the first, then {one['crops_per_s']:6.1f} crops/s; "
                    f"processor time {one['first_cpu_s']:5.1f} s, then {one['crop_cpu_ms'] or 0:5.2f} ms a crop",
                    flush=True,
                )
        chosen = json.dumps({"batch": options.batch})
        alone = apart(ALONE, folder, chosen, cores) if options.alone else {}
    told = summary(runs, options, cores) | alone
    print(json.dumps({name: value for name, value in told.items() if name != "runs"}, indent=2))
    if options.json:
        options.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    if options.threads == cores and len({one["digest"] for one in runs}) != 1:
        sys.exit("the digests differ")


def summary(runs: list[dict[str, Any]], options: argparse.Namespace, cores: int) -> dict[str, Any]:
    """Take medians of the rounds: seconds in all, and the rates after the first crops."""

    def median(engine: str, key: str) -> float:
        return statistics.median(one[key] or 0.0 for one in runs if one["engine"] == engine)

    wall, rate = ({engine: median(engine, key) for engine in ("local", "ray")} for key in ("wall_s", "crops_per_s"))
    return {
        "crops": options.crops,
        "cores": cores,
        "model": options.model,
        "wall_s": wall,
        "crops_per_s": rate,
        "overhead": round(wall["ray"] / wall["local"] - 1, 3),
        "overhead_without_start": round(rate["local"] / rate["ray"] - 1, 3),
        "first_cpu_s": {engine: median(engine, "first_cpu_s") for engine in ("local", "ray")},
        "crop_cpu_ms": {engine: median(engine, "crop_cpu_ms") for engine in ("local", "ray")},
        "equal_digests": len({one["digest"] for one in runs}) == 1,
        "runs": runs,
    }


if __name__ == "__main__":
    main()
