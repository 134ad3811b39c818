"""What a person reads after the line has run: what was built, how well it finds, what to do next."""

from visnet import versions
from visnet.reports import REPORTS, read_report
from visnet.stage import STAGES, Report

KS = (1, 3, 5, 10, 20)
METHODS = {
    "trained": "",
    "untrained network": "untrained_",
    "colour histogram": "colour_histogram_",
    "random": "random_",
}


def text() -> str:
    """Return the summary of the reports in this folder; `ValueError` when there are none."""
    reports = {stage: read_report(stage) for stage in STAGES}
    there = {stage: report for stage, report in reports.items() if report}
    if not there:
        raise ValueError(f"{REPORTS}/ holds no report yet: run `make run`, or `dvc repro` in a folder with dvc.yaml")
    return "\n".join([*_built(there), "", *_recall(there.get("evaluation")), *_next(there)])


def _built(reports: dict[str, Report]) -> list[str]:
    raw, model, knn = (reports.get(stage) for stage in ("raw_images", "trained_model", "knn_results"))
    lines = []
    if raw:
        lost = f" ({raw['lost']} lost)" if raw["lost"] else ""
        shown = f"{raw['products']} products in {raw['categories']} categories"
        lines.append(f"Catalog    {raw['photos']} photos{lost} of {shown}")
    if model:
        minutes = float(model.get("training_s") or 0) / 60
        lines.append(f"Model      {model['config']}, {model['parameters']:,} parameters, trained in {minutes:.1f} min")
    if knn:
        lines.append(f"Answers    for {knn['street_queries']} street photos; similar products of {knn['products']}")
    if "publish" in reports:
        lines.append(f"Shop       {versions.standing()}")
    return lines


def _recall(report: Report | None) -> list[str]:
    if not report:
        return []
    lines = []
    if report["queries"]:
        lines.append(f"{'street -> shop, recall@':<24}" + "".join(f"{k:>8}" for k in KS))
        for name, prefix in METHODS.items():
            recall = [report.get(f"{prefix}recall_at_{k}") for k in KS]
            lines.append(f"  {name:<22}" + "".join("       -" if v is None else f"{v:>8.3f}" for v in recall))
    for field, title in {"triplet_accuracy": "triplet accuracy", "colour_agreement": "same colour among 10"}.items():
        values = {name: report.get(f"{prefix}{field}") for name, prefix in METHODS.items() if name != "random"}
        if any(v is not None for v in values.values()):
            lines.append(f"{title}: " + ", ".join(f"{name} {v:.3f}" for name, v in values.items() if v is not None))
    return [*lines, ""]


def _next(reports: dict[str, Report]) -> list[str]:
    sheets = ", ".join(sorted(str(path) for path in REPORTS.glob("*.png")))
    return [
        f"Pictures   {sheets}",
        "Next       make ui                              assets in Dagster, runs in MLflow",
        "           python -m visnet similar PHOTO.jpg   the products most like a photo of yours",
        "           edit params.toml, then dvc repro     only what changed runs again",
    ]
