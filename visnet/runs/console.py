"""The log of a person's terminal, and of a file that a page tails."""

import contextlib
import csv
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from visnet.pipeline.log import Progress
from visnet.storage import atomic

Listener = Callable[[int, Mapping[str, float]], None]
WORD_SIGNS = 40  # of a word beside the progress, which may be a category of any name


class Console:
    """Say lines and progress on standard error, keep curves and pictures as `<folder>/<stage>.*`."""

    def __init__(self, stage: str, folder: Path, on_curve: Listener | None = None) -> None:
        self.stage, self.folder, self.on_curve = stage, folder, on_curve
        self.pictures: dict[str, Path] = {}

    def say(self, text: str) -> None:
        """Print one line."""
        tqdm.write(text, file=sys.stderr)

    @contextlib.contextmanager
    def progress(self, what: str, total: int | None, *, done: int = 0, unit: str = "it") -> Iterator[Progress]:
        """Show a bar on a terminal, and a line every few seconds elsewhere."""
        if sys.stderr.isatty():
            with tqdm(desc=what, total=total, initial=done, unit=unit, dynamic_ncols=True, leave=False) as bar:
                yield _Bar(bar)
        else:
            lines = _Lines(what, total, done, unit)
            yield lines
            lines.end()

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        """Add the row to `<stage>.csv` (a step that is written again replaces its row) and tell the listener."""
        path = self.folder / f"{self.stage}.csv"
        rows: list[dict[str, str]] = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) < step]
        rows.append({"step": str(step), **{name: f"{value:.6g}" for name, value in values.items()}})
        with atomic.writing(path) as building, building.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
            writer.writeheader()
            writer.writerows(rows)
        if self.on_curve:
            self.on_curve(step, values)

    def picture(self, image: Image.Image, name: str = "") -> None:
        """Keep the picture as `<stage>.png` or `<stage>.<name>.png`."""
        path = self.folder / f"{self.stage}{'.' if name else ''}{name}.png"
        small = image.convert("RGB").quantize(method=Image.Quantize.FASTOCTREE)
        with atomic.writing(path) as building:
            small.save(building, format="PNG", optimize=True)
        self.pictures[name or "sheet"] = path


class _Bar:
    def __init__(self, bar: "tqdm[None]") -> None:
        self.bar = bar

    def advance(self, n: int = 1, **shown: float | str) -> None:
        if shown:
            self.bar.set_postfix({name: _worded(value) for name, value in shown.items()}, refresh=False)
        self.bar.update(n)


class _Lines:
    every_s = 5.0

    def __init__(self, what: str, total: int | None, done: int, unit: str) -> None:
        self.what, self.total, self.done, self.unit = what, total, done, unit
        self.first, self.start_s = done, time.monotonic()
        self.said_s, self.shown = self.start_s, ""

    def advance(self, n: int = 1, **shown: float | str) -> None:
        self.done += n
        if shown:
            self.shown = "  ".join(f"{name} {_worded(value)}" for name, value in shown.items())
        if time.monotonic() - self.said_s >= self.every_s:
            self.said_s = time.monotonic()
            self._say()

    def end(self) -> None:
        if self.done > self.first:
            self._say()

    def _say(self) -> None:
        wall_s = max(time.monotonic() - self.start_s, 1e-9)
        rate = (self.done - self.first) / wall_s
        of = f"/{self.total} ({self.done / self.total:.0%})" if self.total else ""
        left = (
            f", {(self.total - self.done) / rate:.0f} s left" if self.total and rate and self.done < self.total else ""
        )
        print(
            f"  {self.what} {self.done}{of}, {rate:.1f} {self.unit}/s{left}  {self.shown}", file=sys.stderr, flush=True
        )


def _worded(value: float | str) -> str:
    if isinstance(value, str):
        return "".join(sign if sign.isprintable() else " " for sign in value[:WORD_SIGNS])
    return f"{value:.4g}" if isinstance(value, float) else str(value)
