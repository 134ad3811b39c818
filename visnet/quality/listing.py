"""What was found of every shop photo: its scores, its verdict and why, and what a person decided of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from visnet.quality import bands, files
from visnet.quality.bands import BAD, GOOD, Band
from visnet.quality.decisions import CONFIRMED, DISMISSED
from visnet.quality.faults import FAULTS, REASONS
from visnet.storage.fingerprints import HASH_COLUMNS, fingerprint
from visnet.storage.table import Table

ROW = ("crop_id", "photo_id", "product_id", "category", "key")
QUALITY = pa.schema(
    [
        *[(name, pa.string()) for name in ROW],  # `key`: `photo_key`, by which decisions know the photo
        *[
            (name, pa.float32()) for name in FAULTS
        ],  # how probable, were it as frequent as good photos; null: not learnt
        ("verdict", pa.string()),  # good, unsure or bad; of a decided photo good or bad
        ("fault", pa.string()),  # the worst one, "" of a good photo
        ("reason", pa.string()),  # the same in words
        ("score", pa.float32()),  # of that fault; the highest of all of a good photo
        ("decision", pa.string()),  # "confirmed", "dismissed" or ""
        *HASH_COLUMNS,
    ]
)


def listed(
    photos: pd.DataFrame,
    scores: NDArray[np.float32],
    faults: Sequence[str],
    chosen: Mapping[str, Band],
    decided: Mapping[str, str],
) -> pd.DataFrame:
    """Return the rows of `QUALITY` but for the hashes, of photos [N] with `ROW` and their scores [N, F].

    A photo that a person has confirmed is bad, one that was dismissed good, whatever its scores.
    """
    rows = photos[list(ROW)].reset_index(drop=True)
    for fault in FAULTS:
        rows[fault] = scores[:, faults.index(fault)] if fault in faults else np.nan
    said = [bands.verdict(dict(zip(faults, row, strict=True)), chosen) for row in scores.tolist()]
    rows["verdict"], rows["fault"] = [verdict for verdict, _ in said], [fault for _, fault in said]
    rows["decision"] = [decided.get(key, "") for key in rows["key"]]
    highest = np.array(faults, object)[scores.argmax(1)] if len(rows) else []
    rows.loc[rows["decision"] == DISMISSED, ["verdict", "fault"]] = [GOOD, ""]
    confirmed = rows["decision"] == CONFIRMED
    rows.loc[confirmed, "fault"] = np.where(rows["fault"] == "", highest, rows["fault"])[confirmed]
    rows.loc[confirmed, "verdict"] = BAD
    rows["reason"] = rows["fault"].map(lambda fault: REASONS.get(fault, ""))
    own = [faults.index(fault) if fault else -1 for fault in rows["fault"]]
    rows["score"] = [row[at] if at >= 0 else row.max() for row, at in zip(scores, own, strict=True)]
    return rows


def put(out: Path, rows: pd.DataFrame) -> tuple[int, int, int]:
    """Bring the table up to these rows; count new, changed and gone."""
    table = Table(out / files.TABLE, "crop_id")
    if not table.exists():
        table.put(QUALITY.empty_table())
    names = [column.name for column in QUALITY if column.name not in ("source", "content")]
    said = [fingerprint(*row) for row in rows[names].itertuples(index=False, name=None)]
    made = pa.Table.from_pandas(rows.assign(source=said, content=said)[QUALITY.names], QUALITY, preserve_index=False)
    change = table.compare(made.select(["crop_id", "source"]).rename_columns(["key", "source"]))
    table.delete(change.gone)
    todo = set(change.todo)
    table.put(made.filter(pa.array([one in todo for one in rows["crop_id"]], pa.bool_())), change.changed)
    return len(change.new), len(change.changed), len(change.gone)
