"""What a person reads after the line has run: what was built, how well it finds, what to do next."""

from visnet.errors import NotReady
from visnet.pipeline.reports import REPORTS, read_report, spoilt
from visnet.pipeline.stage import STAGES, Report
from visnet.serving import versions

KS = (1, 3, 5, 10, 20)
METHODS = {
    "trained": "",
    "frozen trunk": "frozen_",
    "untrained network": "untrained_",
    "colour histogram": "colour_histogram_",
    "random": "random_",
}
WITHOUT_STREET = {  # of a report whose catalog has no street photos
    "category_agreement": "of the 10 most similar products share the category",
    "augmented_recall_at_1": "of the shop's photos, when they are changed a little, find themselves first",
}


def text() -> str:
    """Return the summary of the reports in this folder; `ValueError` when there are none."""
    reports = {stage: read_report(stage) for stage in STAGES}
    there = {stage: report for stage, report in reports.items() if report}
    if not there:
        raise NotReady(f"{REPORTS}/ holds no report yet: run `make run`, or `dvc repro` in a folder with dvc.yaml")
    return "\n".join([*_built(there), "", *_measured(there.get("evaluation")), *_next(there)])


def _built(reports: dict[str, Report]) -> list[str]:
    lines = []
    for stage, say in {"raw_images": _catalog, "trained_model": _model, "knn_results": _answers}.items():
        if stage in reports:
            try:
                lines.append(say(reports[stage]))
            except (KeyError, TypeError, ValueError) as error:
                raise spoilt(REPORTS / f"{stage}.json", f"cannot be used ({error!r})") from None
    if "publish" in reports:
        lines.append(f"Shop       {versions.status()}")
    return lines


def _catalog(raw: Report) -> str:
    lost = f" ({raw['lost']} lost)" if raw["lost"] else ""
    return f"Catalog    {raw['photos']} photos{lost} of {raw['products']} products in {raw['categories']} categories"


def _model(model: Report) -> str:
    minutes = float(model.get("training_s") or 0) / 60
    took = f"trained in {minutes:.1f} min" if "epochs" in model else "nothing was learnt here"
    return f"Model      {model['config']}, {model['parameters']:,} parameters, {took}"


def _answers(knn: Report) -> str:
    street = f"for {count} street photos; " if (count := knn["street_queries"]) else ""
    return f"Answers    {street}similar products of {knn['products']}"


def _measured(report: Report | None) -> list[str]:
    lines = _recall(report)
    if not report or report.get("queries"):
        return lines
    said = "Measured   no recall: it wants street photos, those that shoppers took, of products with shop photos"
    for field, what in WITHOUT_STREET.items():
        if (share := report.get(field)) is not None:
            said += f"\n           {share:.0%} {what}"
    return [said, *lines]


def _recall(report: Report | None) -> list[str]:
    if not report:
        return []
    lines = []
    if report.get("queries"):
        lines.append(f"{'street -> shop, recall@':<24}" + "".join(f"{k:>8}" for k in KS))
        for name, prefix in METHODS.items():
            recall = [report.get(f"{prefix}recall_at_{k}") for k in KS]
            lines.append(f"  {name:<22}" + "".join("       -" if v is None else f"{v:>8.3f}" for v in recall))
    lines += [*_interval(report), *_calibration(report)]
    for field, title in {"triplet_accuracy": "triplet accuracy", "colour_agreement": "same colour among 10"}.items():
        values = {name: report.get(f"{prefix}{field}") for name, prefix in METHODS.items() if name != "random"}
        if any(v is not None for v in values.values()):
            lines.append(f"{title}: " + ", ".join(f"{name} {v:.3f}" for name, v in values.items() if v is not None))
    return [*lines, ""]


def _interval(report: Report) -> list[str]:
    low, high = report.get("recall_at_1_low"), report.get("recall_at_1_high")
    if low is None or high is None:
        return []
    return [f"recall@1 of the trained: {low:.3f} to {high:.3f} in 95 % of draws of as many products"]


def _calibration(report: Report) -> list[str]:
    error = report.get("calibration_error")
    return [] if error is None else [f"a hit's probability is off by {error:.3f} on average"]


def _next(reports: dict[str, Report]) -> list[str]:
    off = {stage for stage, report in reports.items() if report.get("enabled") is False}
    found = [path for path in REPORTS.glob("*.png") if path.name.partition(".")[0] not in off]
    sheets = ", ".join(sorted(map(str, found)))
    return [
        f"Pictures   {sheets}",
        "Next       . .venv/bin/activate                 in each new shell, for the commands below",
        "           make serve                           a page to search on by photo",
        "           make ui                              assets in Dagster, runs in MLflow",
        "           python -m visnet similar PHOTO.jpg   the products most like a photo of yours",
        "           edit params.toml, then dvc repro     only what changed runs again",
    ]
