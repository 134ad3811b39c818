"""Pages on which a person judges triplets, double listings and photos that mislead, and contact sheets."""

import contextlib
import io
from pathlib import Path

import uvicorn
from PIL import Image

from visnet.pipeline.reports import DATA
from visnet.review import duplicates, quality, triplets
from visnet.review.server import Judged, app
from visnet.review.shown import Shown, choose
from visnet.sampling import exclusions
from visnet.serving.listening import listen
from visnet.sheets.contact_sheet import WRONG, Thumbnail, check_name, sheet

EXCLUSIONS, DECISIONS, FLAGGED = Path("exclusions.csv"), Path("duplicates.csv"), Path("photo_quality.csv")
COUNT, PORT = 100, 8010
COLUMNS = 4  # of a contact sheet

__all__ = [
    "COUNT",
    "DECISIONS",
    "EXCLUSIONS",
    "FLAGGED",
    "PORT",
    "choose",
    "serve",
    "serve_duplicates",
    "serve_quality",
    "write",
]


def serve(
    split: str = "train",
    count: int = COUNT,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    data: Path = DATA,
    path: Path = EXCLUSIONS,
) -> None:
    """Show `count` triplets of a split on a page and keep what is marked in `path`, until Ctrl-C; port 0 takes any.

    `ValueError` when there are no such triplets, `path` cannot be read, or the port cannot be had.
    """
    shown = choose(data, split, count)
    exclusions.read(path)
    _serve(triplets.judged(shown, path), f"{len(shown.triplets)} of {shown.total} {split} triplets", host, port)


def serve_duplicates(
    count: int = COUNT, *, host: str = "127.0.0.1", port: int = PORT, data: Path = DATA, path: Path = DECISIONS
) -> None:
    """Show `count` undecided pairs of photos on a page and keep what is decided in `path`, until Ctrl-C.

    `ValueError` when there is nothing to decide, `path` cannot be read, or the port cannot be had.
    """
    judged = duplicates.judged(data, count, path)
    _serve(judged, f"{len(judged.about['pairs'])} of {judged.about['total']} undecided pairs", host, port)


def serve_quality(
    count: int = COUNT, *, host: str = "127.0.0.1", port: int = PORT, data: Path = DATA, path: Path = FLAGGED
) -> None:
    """Show `count` undecided photos that seem to mislead on a page and keep what is decided in `path`, until Ctrl-C.

    `ValueError` when there is nothing to decide, `path` cannot be read, or the port cannot be had.
    """
    judged = quality.judged(data, count, path)
    _serve(judged, f"{len(judged.about['flagged'])} of {judged.about['total']} undecided photos", host, port)


def _serve(judged: Judged, what: str, host: str, port: int) -> None:
    with listen(host, port) as listening:
        name = f"[{host}]" if ":" in host else host
        print(
            f"{what}: http://{name}:{listening.getsockname()[1]}\n"
            f"What you mark is written to {judged.file}; Ctrl-C stops.",
            flush=True,
        )
        config = uvicorn.Config(app(judged, host), log_level="warning", timeout_graceful_shutdown=1)
        with contextlib.suppress(KeyboardInterrupt):  # the server has closed its connections, and passes the signal on
            uvicorn.Server(config).run(sockets=[listening])
        print("Stopped.")


def write(out: Path, split: str = "train", count: int = COUNT, *, data: Path = DATA, path: Path = EXCLUSIONS) -> str:
    """Write the triplets that `serve` shows as a contact sheet, what is marked framed; return a line that says so.

    `ValueError` when there are no such triplets, `path` cannot be read, or `out` cannot be written.
    """
    check_name("--write", out)
    shown = choose(data, split, count)
    marked = exclusions.read(path).rows
    title = (
        f"{len(shown.triplets)} of {shown.total} {split} triplets: query, positive, negative; marked ones are framed"
    )
    sheet([_tiles(shown, place, marked) for place in range(len(shown.triplets))], title, columns=COLUMNS).save(out)
    return f"{len(shown.triplets)} of {shown.total} {split} triplets: {out}"


def _tiles(shown: Shown, place: int, marked: frozenset[exclusions.Row]) -> list[Thumbnail]:
    q, p, n, kind = shown.triplets[place]
    captions = [f"{place + 1} {kind}", *(f"{shown.crops[c]['category']} {shown.crops[c]['colour']}" for c in (p, n))]
    wrong = [
        {exclusions.row("photo", q)},
        {exclusions.row("photo", p), exclusions.row("positive", q, p)},
        {exclusions.row("photo", n), exclusions.row("negative", q, n)},
    ]
    return [
        Thumbnail(Image.open(io.BytesIO(shown.photos[crop])), caption, WRONG if rows & marked else None)
        for crop, caption, rows in zip((q, p, n), captions, wrong, strict=True)
    ]
