"""Which crops are learnt from and shown: all but the shop's bad photos, where the stage photo_quality leaves these out.

What is left out is a list of crop ids that the stage writes, with a digest of the shop's crops that it chose from.
There is none where nothing is to be left out; then every crop is shown, and nothing is read for it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from visnet.errors import NotReady
from visnet.quality.files import LEFT_OUT
from visnet.storage import atomic
from visnet.storage.fingerprints import content_digest
from visnet.storage.table import Table

SHOP = "lost IS NULL AND side = 'shop'"
WANTED = "lost IS NULL AND (side = 'shop' OR split = 'test')"


def put_left_out(photo_quality: Path, crops: Path, crop_ids: Sequence[str]) -> None:
    """Write which of the shop's crops, those of a table of crops, are left out."""
    listed = {"crops": _digest(crops), "left_out": sorted(crop_ids)}
    atomic.put_json(photo_quality / LEFT_OUT, listed)


def left_out(crops: Path, photo_quality: Path) -> frozenset[str]:
    """Return the shop crops that are neither learnt from nor shown, by the folder of the stage photo_quality.

    crops: the table of crops. Errors: `NotReady` where the list was made of other crops than these.
    """
    file = photo_quality / LEFT_OUT
    if not file.exists():
        return frozenset()
    listed = json.loads(file.read_text(encoding="utf-8"))
    if listed["crops"] != _digest(crops):
        raise NotReady(f"{file} is not of today's crops; run `dvc repro photo_quality`")
    return frozenset(listed["left_out"])


def shown_crops(crops: Path, photo_quality: Path, columns: list[str]) -> pa.Table:
    """Read columns, crop_id among them, of the crops that have a vector: the shop's that are shown, the test's streets.

    crops: the table of crops. Errors: as those of `left_out`.
    """
    rows, without = Table(crops).read(columns, WANTED), left_out(crops, photo_quality)
    if not without:
        return rows
    return rows.filter(pc.invert(pc.is_in(rows["crop_id"], value_set=pa.array(sorted(without), pa.string()))))


def _digest(crops: Path) -> str:
    rows = Table(crops).read(["crop_id", "content"], SHOP)
    return content_digest(rows["crop_id"], rows["content"])
