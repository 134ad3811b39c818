"""What a refresh costs beside a full build, when a share of the catalog changes.

    python benchmarks/refresh.py line --products 10000 --workspace NEW_FOLDER    # photos to published answers
    python benchmarks/refresh.py lists --products 100000                         # synthetic vectors to answers

`line` emits the synthetic shop as a feed, builds it (raw_images to publish, without training) with a network that is
not trained, then takes in batches that change `--churn` of the products each, and builds the last state once more from
nothing, beside. `lists` runs the stage knn_results alone, on clustered unit vectors. Both print, per
stage, seconds of the full build, seconds of each refresh, and their ratio; and fail when the digests of the refreshed
and the clean build differ. Seconds are those of the stages; each is also a process that starts (about as long whatever
the catalog), which `dvc repro` pays and this does not count.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from visnet import zoo
from visnet.evaluation import verdict
from visnet.pipeline.log import SILENT
from visnet.runs import runner
from visnet.stages import knn_results
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import Table
from visnet.zoo import weights

STAGES = ("raw_images", "crops", "catalog_embeddings", "knn_results", "publish")
ROOT = Path(__file__).resolve().parent.parent
D = 128


def asked(options: argparse.Namespace) -> dict[str, Any]:
    """Say what is measured, and on how many cores; the seconds are still to come."""
    cores = len(os.sched_getaffinity(0))
    return {"products": options.products, "churn": options.churn, "cores": cores, "full_s": {}, "refresh_s": []}


def line(options: argparse.Namespace) -> dict[str, Any]:
    """Build the shop's feed in a workspace, refresh it batch by batch, and build its last state beside."""
    shop = (options.shop or options.workspace / "shop").absolute()
    options.workspace.mkdir(parents=True)
    os.chdir(options.workspace)
    if options.shop is None:
        emit = [sys.executable, "-P", "-m", "visnet", "emit-feed", str(shop), "--hours", str(options.rounds + 1)]
        emit += ["--products", str(options.products), "--churn", str(options.churn), "--seed", "1"]
        subprocess.run(emit, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    batches = sorted((shop / "batches").iterdir())[: options.rounds + 1]
    entry = zoo.entry(options.model)
    told: dict[str, Any] = asked(options)
    for name in ("line",) if options.unchecked else ("line", "clean"):
        Path(name, "inbox").mkdir(parents=True)
        (Path(name) / "photos").symlink_to(shop / "photos")
        model = weights.save(zoo.build_model(entry, seed=1), entry.toml(), Path(name) / "data" / "trained_model")
        for stage in ("evaluation", "localizer", "taxonomy_model", "category_paths", "photo_quality", "duplicates"):
            Path(name, "data", stage).mkdir()
        verdict.Verdict(model[:32], True, "nothing is compared here").write(Path(name, "data", "evaluation"))
    params = {
        "raw_images": {"source": "feed", "metadata": "inbox", "lost_share_max": 0.5},
        "crops": {"small_categories": "drop"},
        "publish": {"lost_share_max": 0.5, "removed_share_max": 1.0, "probe_recall_at_1_drop_max": 1.0},
    }

    def run(folder: Path) -> tuple[dict[str, float], dict[str, str]]:
        before = Path.cwd()
        os.chdir(folder)
        seconds, digests = {}, {}
        for stage in STAGES:
            report = runner.run(stage, tables=params)
            seconds[stage] = float(report["wall_s"] or 0)
            digests[stage] = str(report["digest"])
        os.chdir(before)
        return seconds, digests

    digests: dict[str, str] = {}
    for number, batch in enumerate(batches):
        shutil.copy(batch, "line/inbox")
        seconds, digests = run(Path("line"))
        if number == 0:
            told["full_s"] = seconds
        else:
            told["refresh_s"].append(seconds)
    for batch in () if options.unchecked else batches:
        shutil.copy(batch, "clean/inbox")
    if not options.unchecked and (clean := run(Path("clean"))[1]) != digests:
        raise SystemExit(f"the refreshed catalog is not the clean build: {digests} and {clean}")
    return told


def lists(options: argparse.Namespace) -> dict[str, Any]:
    """Run knn_results on vectors of which a share is replaced in each round."""
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((max(1, options.products // 20), D)).astype(np.float32)
    folder = Path(tempfile.mkdtemp(prefix="visnet-refresh-"))
    told: dict[str, Any] = asked(options)

    def vectors(products: np.ndarray) -> pa.Table:
        drawn = centres[rng.integers(0, len(centres), len(products))] + 0.7 * rng.standard_normal((len(products), D))
        unit = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
        hashes = [fingerprint(row.tobytes()) for row in unit]
        columns = {
            "crop_id": [f"{number:09d}.jpg|{number:09d}|0" for number in products],
            "product_id": [f"{number:09d}" for number in products],
            "category": [f"category {number % options.categories}" for number in products],
            **{name: [value] * len(products) for name, value in (("side", "shop"), ("colour", ""), ("model", "m"))},
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(unit.ravel()), D),
            "source": hashes,
            "content": hashes,
        }
        return pa.table(columns)

    def run(out: str) -> tuple[float, str]:
        begun_s = time.perf_counter()
        report = knn_results.build(folder / "vectors", out=folder / out, params=knn_results.Params(), log=SILENT)
        return time.perf_counter() - begun_s, str(report["digest"])

    try:
        table, there = folder / "vectors" / "embeddings.lance", np.arange(options.products)
        Table(table, "crop_id").put(vectors(there))
        told["full_s"] = {"knn_results": run("line")[0]}
        digest = ""
        for number in range(options.rounds):
            some = round(options.churn * options.products)
            gone = rng.choice(there, some, replace=False)
            new = np.arange(some) + options.products * (number + 1)
            Table(table, "crop_id").delete([f"{product:09d}.jpg|{product:09d}|0" for product in gone])
            Table(table, "crop_id").put(vectors(new))
            there = np.concatenate([np.setdiff1d(there, gone), new])
            seconds, digest = run("line")
            told["refresh_s"].append({"knn_results": seconds})
        if run("clean")[1] != digest:
            raise SystemExit("the refreshed lists are not those of a clean build")
    finally:
        shutil.rmtree(folder)
    return told


def text(told: dict[str, Any]) -> str:
    """Lay the figures out as a Markdown table: medians over the refreshes."""
    rows = [
        f"| {told['products']:,} products, {told['churn']:.1%} changed, {told['cores']} cores | full, s | refresh, s"
        " | ratio |",
        "|---" * 4 + "|",
    ]
    stages = [*told["full_s"], "all"]
    for stage in stages:
        full = told["full_s"].get(stage, sum(told["full_s"].values()))
        refresh = statistics.median(one.get(stage, sum(one.values())) for one in told["refresh_s"])
        rows.append(f"| {stage} | {full:.2f} | {refresh:.2f} | {refresh / full:.2%} |")
    return "\n".join(rows)


def main() -> None:
    """Run one of the two and print its table; --out keeps the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("line", "lists"))
    parser.add_argument("--products", type=int, default=10_000)
    parser.add_argument("--churn", type=float, default=0.01)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--categories", type=int, default=10, help="of `lists`: each is a gallery of its own")
    parser.add_argument("--workspace", type=Path, help="of `line`: a folder that is not there yet")
    parser.add_argument("--shop", type=Path, help="of `line`: what `emit-feed` wrote before, of --products and --churn")
    parser.add_argument("--model", default="mildnet_small", help="of `line`: an entry of the zoo, which is not trained")
    parser.add_argument("--unchecked", action="store_true", help="of `line`: the last state is not built once more")
    parser.add_argument("--out", type=Path, help="a JSON file that keeps the figures of several such runs")
    options = parser.parse_args()
    if options.what == "line" and (options.workspace is None or options.workspace.exists()):
        parser.error("line needs --workspace, a folder that is not there yet")
    out = options.out and options.out.absolute()
    run: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {"line": line, "lists": lists}
    told = run[options.what](options)
    print(text(told))
    if out:
        kept = json.loads(out.read_text()) if out.exists() else {}
        kept[f"{options.what}, {told['products']:,} products, {told['cores']} cores"] = told
        out.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
