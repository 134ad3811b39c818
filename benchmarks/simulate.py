"""What a catalog of any size would cost, from what this machine shows at small sizes; and how far that is off.

    python benchmarks/simulate.py measure --workspace FOLDER --out FILE         # twenty minutes; goes on where it was
    python benchmarks/simulate.py page --of FILE                                # the tables of docs/concepts/scale.md

`measure` builds, refreshes and serves the synthetic shop at `--products`, fits what each part takes, predicts a shop
`--times` as large as the largest of them, runs that, too, and holds the prediction against it. Seconds are of this
machine: leave it alone meanwhile.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import simulate_costs as costs
import simulate_tables
from scipy.optimize import nnls

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/concepts/scale.md"
CHURNS = (0.02, 0.1)  # shares that change in a refresh
SCANS = (300_000, 600_000)  # rows that are searched, more than a cache holds, and `times` the larger
QUERIES = (1, 16)
PREDICTED_CHURN = CHURNS[0]


def fitted(terms: Sequence[Sequence[float]], seconds: Sequence[float]) -> list[float]:
    """Fit seconds as a sum of terms, none of which takes less than nothing, by what they are off relatively."""
    size = np.asarray(seconds, float)
    return [float(one) for one in nnls(np.asarray(terms, float) / size[:, None], np.ones(len(size)))[0]]


def terms(stage: str, one: dict[str, Any], *, refreshed: bool) -> list[float]:
    """Say what a stage's seconds depend on: a constant, photos or rows, and pairs of rows or changed photos."""
    if refreshed:
        return [1.0, float(one["rows"]), one["churn"] * one["photos"]]
    if stage == "knn_results":
        return [1.0, float(one["rows"]), float(one["rows"]) ** 2]
    return [1.0, float(one["photos"])]


def fit(lines: Sequence[dict[str, Any]], services: Sequence[dict[str, Any]], scans: Sequence[dict[str, Any]]) -> Any:
    """Fit every part of the work; of builds of one size the fastest counts."""
    best = {
        (one["products"], stage): min(other["full_s"][stage] for other in lines if other["products"] == one["products"])
        for one in lines
        for stage in costs.STAGES
    }
    made: dict[str, Any] = {"full_s": {}, "refresh_s": {}}
    for kind in made:
        for stage in costs.STAGES:
            rows = [terms(stage, one, refreshed=kind == "refresh_s") for one in lines]
            made[kind][stage] = fitted(
                rows, [best[one["products"], stage] if kind == "full_s" else one[kind][stage] for one in lines]
            )
    made["bytes"] = fitted([[1.0, one["photos"]] for one in lines], [one["bytes"] for one in lines])
    for name in ("rss_mb", "ready_s"):
        made[name] = fitted([[1.0, one["rows"]] for one in services], [one[name] for one in services])
    made["scan_s"] = {
        str(queries): fitted(
            [[1.0, one["rows"]] for one in scans if one["queries"] == queries],
            [one["seconds"] for one in scans if one["queries"] == queries],
        )
        for queries in QUERIES
    }
    return made


def predicted(made: Any, one: dict[str, Any]) -> dict[str, float]:
    """Predict what a line, its service and its search take, by the names in which `seen` has what they took."""
    found: dict[str, float] = {}
    for kind in ("full_s", "refresh_s"):
        for stage in costs.STAGES:
            parts = terms(stage, one, refreshed=kind == "refresh_s")
            found[f"{kind} {stage}"] = float(np.dot(made[kind][stage], parts))
        found[f"{kind} all"] = sum(found[f"{kind} {stage}"] for stage in costs.STAGES)
    found["bytes"] = float(np.dot(made["bytes"], [1.0, one["photos"]]))
    for name in ("rss_mb", "ready_s"):
        found[name] = float(np.dot(made[name], [1.0, one["rows"]]))
    for queries in QUERIES:
        found[f"scan_s {queries}"] = float(np.dot(made["scan_s"][str(queries)], [1.0, one["scanned"]]))
    return found


def seen(one: dict[str, Any], service: dict[str, Any], scans: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return what was measured by the names of `predicted`."""
    found: dict[str, float] = {}
    for kind in ("full_s", "refresh_s"):
        found |= {f"{kind} {stage}": one[kind][stage] for stage in costs.STAGES}
        found[f"{kind} all"] = sum(one[kind].values())
    found |= {"bytes": float(one["bytes"]), "rss_mb": service["rss_mb"], "ready_s": service["ready_s"]}
    return found | {f"scan_s {part['queries']}": part["seconds"] for part in scans}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure at the small sizes, predict the large one, and measure that."""
    options.workspace.mkdir(parents=True, exist_ok=True)
    folder = options.workspace.absolute()
    lines, services, scans = [], [], []
    for products in options.products:
        for churn in CHURNS:
            at = folder / f"line-{products}-{churn:g}"
            _say(f"a line of {products:,} products, {churn:.0%} of which change")
            lines.append(costs.line(at, products, churn, options.model))
        services.append({"rows": lines[-1]["rows"], **costs.service(at / "line")})
    _say("searches, merging, hashing, downloads")
    for rows in SCANS:
        scans += [{"rows": rows, "queries": n, "seconds": costs.scan(rows, n)} for n in QUERIES]
    made = fit(lines, services, scans)
    units = {
        "merge_s": {str(shards): costs.merge(shards) for shards in (4, 64)},
        "hash_s_gb": costs.hashing(at / "line/data"),
        "download": costs.download(at / "shop/photos"),
        "similar_ms": services[-1]["similar_ms"],
        "photo_ms": services[-1]["photo_ms"],
    }
    large = options.products[-1] * options.times
    _say(f"the prediction: a line of {large:,} products")
    at = folder / f"line-{large}"
    truth = costs.line(at, large, PREDICTED_CHURN, options.model) | {"scanned": SCANS[-1] * options.times}
    own = [{"queries": n, "seconds": costs.scan(truth["scanned"], n)} for n in QUERIES]
    service = {"rows": truth["rows"], **costs.service(at / "line")}
    units["exact_over_ivf"] = costs.approximate(at / "line/data")
    guess, found = predicted(made, truth), seen(truth, service, own)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": costs.processor(),
        "model": options.model,
        "times": options.times,
        "lines": lines,
        "services": services,
        "scans": scans,
        "fit": made,
        "units": units,
        "large": truth | {"service": service},
        "check": {name: {"predicted": guess[name], "measured": found[name]} for name in guess},
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, or write the tables of the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="what", required=True)
    one = commands.add_parser("measure")
    one.add_argument("--workspace", type=Path, required=True, help="where it works; what was built there stays")
    one.add_argument("--products", type=int, nargs="+", default=[150, 300, 600])
    one.add_argument("--times", type=int, default=10)
    one.add_argument("--model", default="efficientnet_lite0", help="an entry of the zoo, which is not trained")
    one.add_argument("--out", type=Path, required=True)
    other = commands.add_parser("page")
    other.add_argument("--of", type=Path, required=True, help="what `measure` wrote")
    options = parser.parse_args()
    if options.what == "measure":
        told = measure(options)
        options.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        print(simulate_tables.checked(told))
        return
    told = json.loads(options.of.read_text(encoding="utf-8"))
    PAGE.write_text(simulate_tables.filled(PAGE.read_text(encoding="utf-8"), told), encoding="utf-8")


if __name__ == "__main__":
    main()
