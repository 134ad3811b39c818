"""Photos that seem to mislead on a page: whether they do goes to the file of decisions."""

from pathlib import Path

from visnet.errors import NotReady
from visnet.quality import decisions
from visnet.quality.bands import BAD, GOOD
from visnet.quality.faults import FAULTS
from visnet.quality.files import TABLE
from visnet.review.server import Judged, Row, keeping
from visnet.review.shown import looked_up
from visnet.storage.table import Table

OTHERS_MIN = 0.05  # a score of another fault that is shown beside the first


def judged(data: Path, count: int, path: Path) -> Judged:
    """Return up to `count` flagged photos that nobody has decided, bad ones first; decisions go to `path`.

    `ValueError` when there are no verdicts, or none that is undecided: nobody is asked twice.
    """
    if count < 1:
        raise ValueError(f"--count {count}: at least 1 photo must be asked for")
    table = Table(data / "photo_quality" / TABLE)
    if not table.exists():
        raise NotReady(
            f"{table.path} is missing: run `dvc repro photo_quality` (enabled = true in photo_quality.toml) first"
        )
    rows = table.opened().to_table().to_pandas()
    decided = decisions.read(path).of()
    rows = rows[(rows["verdict"] != GOOD) | (rows["decision"] != "")]
    open_ = rows[~rows["key"].isin({photo for (photo,) in decided}) & (rows["decision"] == "")]
    open_ = open_.assign(bad=open_["verdict"] == BAD)
    open_ = open_.sort_values(["bad", "score", "crop_id"], ascending=[False, False, True]).drop_duplicates("key")
    if open_.empty:
        raise ValueError(f"nothing is to be decided: {len(rows)} photos were flagged, and {path} says what each is")
    shown = open_.head(count)
    crops, photos = looked_up(data / "crops" / "crops.lance", set(shown["crop_id"]))
    flagged = [
        {
            "crops": [row["crop_id"]],
            "keys": [row["key"]],
            "reason": row["reason"],
            "verdict": row["verdict"],
            "score": round(float(row["score"]), 4),
            "others": [
                [fault, round(float(row[fault]), 4)]
                for fault in FAULTS
                if fault != row["fault"] and row[fault] >= OTHERS_MIN
            ],
        }
        for row in shown.to_dict("records")
    ]
    return Judged(
        name="quality",
        page="deciding.html",
        about={"total": len(open_), "flagged": flagged, "crops": crops},
        photos=photos,
        file=path,
        words=decisions.WHAT,
        row=_row,
        markable={decisions.row(what, photo) for photo in shown["key"] for what in decisions.WHAT},
        kept=lambda: decisions.read(path).rows,
        keep=keeping(path, decisions.read, decisions.write),
    )


def _row(what: str, photo: str, nothing: str) -> Row:
    """Check a mark, which is of one thing only."""
    if nothing:
        raise ValueError(f"b is {nothing!r}; a decision is of one photo, a")
    return decisions.row(what, photo)
