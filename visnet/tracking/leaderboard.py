"""The runs of the tracker in one table: what finds best, and what that costs."""

import html
from datetime import UTC, datetime

import pandas as pd

from visnet.errors import NotReady
from visnet.pipeline.reports import REPORTS, read_report
from visnet.storage import atomic
from visnet.tracking import connection, registry

NONE = "no run was evaluated yet: `python -m visnet experiment NAME`, or `dvc repro`"
# column -> (metric of a run, or what its training said of itself in a tag, and its format)
COLUMNS = {
    "recall@1": ("recall_at_1", ".3f"),
    "recall@5": ("recall_at_5", ".3f"),
    "street→street R@1": ("street_recall_at_1", ".3f"),
    "mAP@R": ("street_map_at_r", ".3f"),
    "triplet acc.": ("triplet_accuracy", ".3f"),
    "colour@10": ("colour_agreement", ".3f"),
    "category@10": ("category_agreement", ".3f"),
    "augmented R@1": ("augmented_recall_at_1", ".3f"),
    "parameters": ("parameters", ",.0f"),
    "dimensions": ("dimensions", ".0f"),
    "side px": ("side_px", ".0f"),
    "photos seen": ("trained_photos", ",.0f"),
    "training min": ("training_s", ".1f"),
    "photos/s": ("images_per_s", ".0f"),
    "memory MiB": ("peak_memory_mib", ",.0f"),
}
GREATEST_IS_BEST = [title for title, (_, style) in COLUMNS.items() if style == ".3f"]
SORTED_BY = ("recall@1", "colour@10", "triplet acc.")
ON_A_TERMINAL = ("config", "version", "status", "test", *SORTED_BY, "parameters", "training min", "run")
FILES = {"html": REPORTS / "leaderboard.html", "csv": REPORTS / "leaderboard.csv"}


def table() -> pd.DataFrame:
    """Collect every run that was evaluated, best first, one row each; `ValueError` when there is none.

    Only runs on one test can be compared: those on the line's test of today come first, then those of each other test;
    "test" names which it is, by the beginning of its digest.
    """
    if connection.is_missing():
        raise NotReady(NONE)
    client = connection.connect()
    with connection.reaching():
        runs, standings = registry.runs(client), registry.standings(client)
    rows = []
    for run in runs:
        metrics, tags = run.data.metrics, run.data.tags
        if not any(name in metrics for name in ("recall_at_1", "colour_agreement")):
            continue
        version, status = standings.get(run.info.run_id, ("", ""))
        measured = {name: metrics.get(name, tags.get(f"trained_model.{name}")) for name, _ in COLUMNS.values()}
        values = {
            title: None if (value := measured[name]) is None else float(value) for title, (name, _) in COLUMNS.items()
        }
        if values["training min"] is not None:
            values["training min"] /= 60
        began = datetime.fromtimestamp(run.info.start_time / 1000, UTC)
        rows.append(
            {
                "config": tags.get("trained_model.config", run.info.run_name),
                "version": version,
                "status": status,
                "test": tags.get("evaluation.test_digest", "")[:8],
                **values,
                "made, UTC": began.strftime("%Y-%m-%d %H:%M"),
                "run": run.info.run_id,
                "page": f"{connection.home()}/{connection.page(run.info)}",
            }
        )
    if not rows:
        raise NotReady(NONE)
    frame = pd.DataFrame(rows)
    frame[list(COLUMNS)] = frame[list(COLUMNS)].astype(float)
    other = frame["test"].where(frame["test"] != _today(), "")
    frame = frame.assign(other=other).sort_values(
        ["other", *SORTED_BY], ascending=[True, *(False for _ in SORTED_BY)], kind="stable", ignore_index=True
    )
    return frame.drop(columns="other")


def write(frame: pd.DataFrame) -> None:
    """Write the table as CSV, in full precision, and as an HTML page whose columns can be sorted by a click."""
    REPORTS.mkdir(exist_ok=True)
    atomic.put_text(FILES["csv"], frame.to_csv(index=False))
    atomic.put_text(FILES["html"], _page(frame))


def text(frame: pd.DataFrame) -> str:
    """Lay the table out for a terminal: its main columns, but those that no run has."""
    shown = _formatted(frame[list(ON_A_TERMINAL)].dropna(axis="columns", how="all"))
    shown["run"] = shown["run"].str[:8]
    return "\n".join([shown.to_string(index=False), "", *(f"{kind:<5} {path}" for kind, path in FILES.items())])


def _today() -> str:
    return str((read_report("evaluation") or {}).get("test_digest", ""))[:8]


def _formatted(frame: pd.DataFrame) -> pd.DataFrame:
    shown = frame.copy()
    for title, (_, style) in COLUMNS.items():
        if title in shown:
            shown[title] = [("–" if pd.isna(value) else format(value, style)) for value in frame[title]]
    return shown


def _page(frame: pd.DataFrame) -> str:
    pages, comparable = frame["page"], frame["test"] == frame["test"].iloc[0]
    frame = frame.drop(columns="page").dropna(axis="columns", how="all")
    shown = _formatted(frame)
    best = {title: frame.loc[comparable, title].max() for title in GREATEST_IS_BEST if title in frame}
    head, body = [], []
    for title in shown.columns:
        order = ' aria-sort="descending"' if title == SORTED_BY[0] else ""
        head.append(f'<th class="{"n" if title in COLUMNS else ""}"{order}>{html.escape(title)}</th>')
    for number, row in shown.iterrows():
        cells = []
        for title, cell in row.items():
            value, text = frame.loc[number, title], html.escape(str(cell))
            is_best = comparable[number] and value == best.get(title)
            looks = [look for look, has in (("n", title in COLUMNS), ("best", is_best)) if has]
            if title == "run":
                text = f'<a href="{html.escape(pages[number])}">{text[:8]}</a>'
            elif title == "status" and text:
                text = f"<span>{text}</span>"
            order = html.escape("" if pd.isna(value) else str(value))
            cells.append(f'<td class="{" ".join(looks)}" data-order="{order}">{text}</td>')
        looks = [row["status"], "" if comparable[number] else "other"]
        body.append(f'<tr class="{" ".join(looks)}">{"".join(cells)}</tr>')
    return (
        _TEMPLATE.replace("HEAD", "".join(head))
        .replace("NOTE", "" if comparable.all() else _OTHERS)
        .replace("BODY", "\n".join(body))
    )


_OTHERS = " Pale rows were evaluated on other tests, and compare with none of these."
_TEMPLATE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>visnet leaderboard</title>
<meta name="viewport" content="width=device-width">
<style>
body { font: 14px/1.45 system-ui, sans-serif; margin: 28px; color: #212529 }
h1 { font-size: 22px; margin: 0 0 4px } p { margin: 0 0 16px; color: #495057 }
div { overflow-x: auto } table { border-collapse: collapse }
th, td { padding: 6px 11px; border-bottom: 1px solid #e9ecef; white-space: nowrap; text-align: left }
th { font-weight: 600; border-bottom: 2px solid #adb5bd; cursor: pointer; user-select: none; vertical-align: bottom }
th:hover { background: #f1f3f5 } th[aria-sort]::after { content: " ▾" } th[aria-sort=ascending]::after { content: " ▴" }
.n { text-align: right; font-variant-numeric: tabular-nums }
td.best { font-weight: 700 } tr:hover td { background: #f8f9fa } tr.other { opacity: .5 } a { color: #3b5bdb }
td span { padding: 1px 8px; border-radius: 9px; background: #e7f5ff; color: #1864ab; font-size: 12px }
tr.champion td { background: #ebfbee } tr.champion td span { background: #2b8a3e; color: #fff }
</style>
<h1>Leaderboard</h1>
<p>One row per evaluated run; a click on a title sorts. Bold: the best of its column.NOTE</p>
<div><table><thead><tr>HEAD</tr></thead><tbody>
BODY
</tbody></table></div>
<script>
const head = [...document.querySelectorAll("th")], body = document.querySelector("tbody")
head.forEach((title, at) => title.onclick = () => {
  const down = title.ariaSort !== "descending"
  head.forEach(other => other.removeAttribute("aria-sort"))
  title.setAttribute("aria-sort", down ? "descending" : "ascending")
  const of = row => row.children[at].dataset.order, number = text => text === "" ? -Infinity : Number(text)
  const rows = [...body.rows], numeric = rows.every(row => !isNaN(of(row)))
  rows.sort((a, b) => numeric ? number(of(a)) - number(of(b)) : of(a).localeCompare(of(b)))
  if (down) rows.reverse()
  body.append(...rows)
})
</script></html>
"""
