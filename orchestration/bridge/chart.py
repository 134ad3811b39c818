"""Draw the small line charts of an asset page, as SVG."""

import csv
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from orchestration.bridge.project import Plot

WIDTH, HEIGHT = 520, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 150, 34, 36
COLOURS = ("#3b5bdb", "#e8590c", "#2f9e44", "#9c36b5", "#868e96", "#c92a2a")


def draw(plot: Plot, file: Path) -> str | None:
    """Return the chart as SVG, or None where the CSV has no two points to join."""
    with file.open(newline="", encoding="utf-8") as rows:
        table = list(csv.DictReader(rows))
    lines = {column: _points(table, plot.x, column) for column in plot.columns}
    lines = {column: points for column, points in lines.items() if points}
    xs = sorted({x for points in lines.values() for x, _ in points})
    ys = [y for points in lines.values() for _, y in points]
    if len(xs) < 2:
        return None
    y_ticks = _ticks(min(ys), max(ys))
    low, high = y_ticks[0], y_ticks[-1]

    def across(x: float) -> float:
        return LEFT + (x - xs[0]) / (xs[-1] - xs[0]) * (WIDTH - LEFT - RIGHT)

    def up(y: float) -> float:
        return HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{escape(plot.title)}</text>'
    ]
    for y in y_ticks:
        parts.append(
            f'<path d="M{LEFT} {up(y):.1f}H{WIDTH - RIGHT}" stroke="#dee2e6"/>'
            f'<text x="{LEFT - 6}" y="{up(y) + 4:.1f}" text-anchor="end" fill="#495057">{y:g}</text>'
        )
    for x in xs[:: math.ceil(len(xs) / 8)]:
        parts.append(f'<text x="{across(x):.1f}" y="{HEIGHT - 18}" text-anchor="middle" fill="#495057">{x:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 4}" text-anchor="middle" fill="#495057">{escape(plot.x_label)}</text>'
    )
    for number, (column, points) in enumerate(lines.items()):
        colour, y = COLOURS[number % len(COLOURS)], TOP + 12 + 18 * number
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            f'<rect x="{WIDTH - RIGHT + 10}" y="{y - 8}" width="10" height="10" fill="{colour}"/>'
            f'<text x="{WIDTH - RIGHT + 25}" y="{y + 1}">{escape(column.replace("_", " "))}</text>'
        )
    return "".join([*parts, "</svg>"])


def _points(table: Sequence[dict[str, str]], x: str, column: str) -> list[tuple[float, float]]:
    """Return the rows that hold a number in both columns; an empty field is a value not taken at that step."""
    points = []
    for row in table:
        try:
            point = float(row[x]), float(row[column])
        except (KeyError, TypeError, ValueError):
            continue
        if all(map(math.isfinite, point)):
            points.append(point)
    return sorted(points)


def _ticks(low: float, high: float) -> list[float]:
    """Return four to six round values that reach from at most `low` to at least `high`."""
    span = (high - low) or abs(high) or 1.0
    step = 10.0 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 5)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]
