"""Pairs of photos on a page: whether they are one listing goes to the file of decisions."""

from pathlib import Path

from visnet.duplicates import decisions
from visnet.duplicates.files import TABLE
from visnet.errors import NotReady
from visnet.review.server import Judged, keeping
from visnet.review.shown import looked_up
from visnet.storage.table import Table

SAID = ("relation", "found_by", "group")
MEASURED = ("score", "exact", "colour")


def judged(data: Path, count: int, path: Path) -> Judged:
    """Return up to `count` pairs that nobody has decided, the surest first; decisions go to `path`.

    `ValueError` when there are no pairs, or none that is undecided: nobody is asked twice.
    """
    if count < 1:
        raise ValueError(f"--count {count}: at least 1 pair must be asked for")
    table = Table(data / "duplicates" / TABLE)
    if not table.exists():
        raise NotReady(f"{table.path} is missing: run `dvc repro duplicates` (enabled = true in duplicates.toml) first")
    rows = table.opened().to_table().to_pandas()
    decided = decisions.read(path).of()
    rows = rows[rows["a_product_id"] != rows["b_product_id"]]
    rows["pair"] = [decisions.pair(a, b) for a, b in zip(rows["a_key"], rows["b_key"], strict=True)]
    open_ = rows[~rows["pair"].isin(set(decided))].sort_values(["score", "pair_id"], ascending=[False, True])
    open_ = open_.drop_duplicates("pair")
    if open_.empty:
        raise ValueError(f"nothing is to be decided: {len(rows)} pairs were found, and {path} says of each what it is")
    shown = open_.head(count)
    crops, photos = looked_up(data / "crops" / "crops.lance", {*shown["a_crop_id"], *shown["b_crop_id"]})
    pairs = [
        {
            "crops": [row["a_crop_id"], row["b_crop_id"]],
            "keys": list(row["pair"]),
            **{name: row[name] for name in SAID},
            **{name: round(float(row[name]), 4) for name in MEASURED},
        }
        for row in shown.to_dict("records")
    ]

    return Judged(
        name="duplicates",
        page="deciding.html",
        about={"total": len(open_), "pairs": pairs, "crops": crops},
        photos=photos,
        file=path,
        words=decisions.WHAT,
        row=decisions.row,
        markable={decisions.row(what, *pair) for pair in shown["pair"] for what in decisions.WHAT},
        kept=lambda: decisions.read(path).rows,
        keep=keeping(path, decisions.read, decisions.write),
    )
