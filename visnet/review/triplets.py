"""Triplets on a page: what is marked goes to the list of exclusions."""

from collections.abc import Collection
from pathlib import Path

from visnet.review.server import Judged, Row
from visnet.review.shown import Shown
from visnet.sampling import exclusions


def judged(shown: Shown, path: Path) -> Judged:
    """Return the triplets as a page shows them; marks go to `path`."""

    def keep(row: Row, on: bool) -> Collection[Row]:
        before, one = exclusions.read(path), exclusions.row(*row)
        after = exclusions.Exclusions(before.rows | {one} if on else before.rows - {one})
        if after != before:
            exclusions.write(path, after)
        return after.rows

    about = {
        "split": shown.split,
        "total": shown.total,
        "triplets": shown.triplets,
        "crops": shown.crops,
        "claims": shown.claims(),
    }
    return Judged(
        name="triplets",
        page="triplets.html",
        about=about,
        photos=shown.photos,
        file=path,
        words=tuple(exclusions.WHAT),
        row=exclusions.row,
        markable=shown.markable(),
        kept=lambda: exclusions.read(path).rows,
        keep=keep,
    )
