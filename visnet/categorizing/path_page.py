"""One HTML page on which models of category paths stand side by side: figures, paths, and what they confuse."""

import html
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from visnet.categorizing.path_metrics import PathReport
from visnet.taxonomy.paths import levels_of

SMALLER_IS_BETTER = ("invalid", "calibration_error")  # and what begins so
ENDS = ("_low", "_high")  # of an interval, which stands in the cell of its figure
STYLE = """
:root {
  color-scheme: light dark;
  --page: light-dark(#f3f3f2, #1d1d1e); --card: light-dark(#fff, #29292b); --ink: light-dark(#1c1c1e, #ececee);
  --soft: light-dark(#5c5c62, #a8a8b0); --line: light-dark(#d8d8d6, #424246);
  font: 15px/1.4 system-ui, sans-serif;
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: .8rem; max-width: 80rem; background: var(--page); color: var(--ink); }
h1 { font-size: 1.2rem; } h2 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; } h3 { font-size: .95rem; margin: .4rem 0; }
p, small { color: var(--soft); }
.wide { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: .4rem; }
.models { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: left; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
.n { text-align: right; white-space: nowrap; overflow-wrap: normal; }
th { font-weight: 600; vertical-align: bottom; } tr:last-child > * { border-bottom: 0; }
tbody th { font-weight: normal; }
"""


def page(title: str, models: Mapping[str, PathReport]) -> str:
    """Return the page of models' reports, by the models' names, in their order; it loads nothing and runs no script.

    The best figure of each row is bold. `ValueError` of no model, and of models measured on other photos than the
    first: their figures cannot be compared.
    """
    if not models:
        raise ValueError("models: one or more are wanted")
    first, *others = models
    support = _support(models[first])
    for name in others:
        if _support(models[name]) != support:
            raise ValueError(f"models: {name!r} was measured on other photos than {first!r}; measure both on the same")
    photos = sum(support.values())
    parts = (
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{photos:,} photos of {len(support):,} paths. The best of a row is bold; in brackets, 95 % intervals.</p>",
        f"<h2>Figures</h2>{_figures(models)}",
        f"<h2>F1 of each path</h2>{_paths(models, support)}",
        f"<h2>Most confused</h2><div class='models'>{''.join(map(_confused, models, models.values()))}</div>",
    )
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n<body>"
        + "\n".join(parts)
        + "</body></html>\n"
    )


def _support(report: PathReport) -> dict[str, int]:
    there = report.by_path[report.by_path["support"] > 0]
    return dict(zip(there["path"].tolist(), there["support"].tolist(), strict=True))


def _figures(models: Mapping[str, PathReport]) -> str:
    names = dict.fromkeys(name for report in models.values() for name in report.figures)
    rows = []
    for name in names:
        if name.endswith(ENDS) and name.rpartition("_")[0] in names:
            continue
        values = [report.figures.get(name, float("nan")) for report in models.values()]
        ends = [[report.figures.get(name + end, float("nan")) for end in ENDS] for report in models.values()]
        notes = ["" if np.isnan(pair).any() else f"({pair[0]:.3f}–{pair[1]:.3f})" for pair in ends]
        rows.append(([name.replace("_", " ")], _numbers(values, notes, smallest=name.startswith(SMALLER_IS_BETTER))))
    return _table(["figure"], list(models), rows)


def _paths(models: Mapping[str, PathReport], support: Mapping[str, int]) -> str:
    scores = [report.by_path.set_index("path")["f1"].to_dict() for report in models.values()]
    rows = []
    for path in sorted({path for score in scores for path in score}, key=lambda path: (levels_of(path), path)):
        # What no photo shows and a model did not predict has no F1: neither was the model wrong about it.
        values = [score.get(path, float("nan")) for score in scores]
        numbers = [f"<td class='n'>{support.get(path, 0):,}</td>", *_numbers(values, [""] * len(values))]
        rows.append(([_shown(path)], numbers))
    return _table(["path"], ["photos", *models], rows)


def _confused(name: str, report: PathReport) -> str:
    table = report.confusions
    rows = [
        ([_shown(row.truth), _shown(row.predicted)], [f"<td class='n'>{row.photos:,}</td>"])
        for row in table.itertuples(index=False)
    ]
    there = _table(["is", "was predicted as"], ["photos"], rows) if len(table) else "<p>Nothing was confused.</p>"
    return f"<section><h3>{html.escape(name)}</h3>{there}</section>"


def _numbers(values: Sequence[float], notes: Sequence[str], *, smallest: bool = False) -> list[str]:
    shown = [round(value, 3) for value in values]
    there = [value for value in shown if not np.isnan(value)]
    best = (min if smallest else max)(there) if len(values) > 1 and there else None
    cells = []
    for value, note in zip(shown, notes, strict=True):
        text = "–" if pd.isna(value) else f"{value:.3f}"
        text = f"<b>{text}</b>" if value == best else text
        cells.append(f"<td class='n'>{text}{f' <small>{note}</small>' if note else ''}</td>")
    return cells


def _shown(path: str) -> str:
    return " > ".join(levels_of(path)) if path else "(no answer)"


def _table(texts: Sequence[str], numbers: Sequence[str], rows: Sequence[tuple[Sequence[str], Sequence[str]]]) -> str:
    """Return a table whose first columns are texts, to be escaped, and whose others are cells of numbers."""
    head = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in texts)
    head += "".join(f"<th scope='col' class='n'>{html.escape(name)}</th>" for name in numbers)
    body = []
    for (first, *more), cells in rows:
        own = f"<th scope='row'>{html.escape(first)}</th>" + "".join(f"<td>{html.escape(text)}</td>" for text in more)
        body.append(f"<tr>{own}{''.join(cells)}</tr>")
    rows_of_page = f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"
    return f"<div class='wide' tabindex='0'><table>{rows_of_page}</table></div>"
