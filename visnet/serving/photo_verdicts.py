"""What a version says of its photos: whether they mislead a search, by which fault, and how probable that is."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from visnet.storage.table import Table


class PhotoVerdict(NamedTuple):
    """A verdict of the stage photo_quality: good, unsure or bad; the fault that it is for, "" of a good photo.

    score: how probable that fault is, in 0..1, were it as frequent as good photos; of a good photo the highest of all.
    """

    verdict: str
    fault: str
    score: float


class PhotoVerdicts:
    """The verdicts on some photos, by their rows; a photo may have none."""

    def __init__(self, quality: Path | None, crop_ids: np.ndarray) -> None:
        """Read the verdicts on crops [G] from a version's table, None for none."""
        self._known = np.zeros(len(crop_ids), bool)
        if quality is None:
            return
        listed = Table(quality).read(["crop_id", "verdict", "fault", "score"]).combine_chunks()
        place = pc.index_in(pa.array(crop_ids, pa.string()), value_set=listed["crop_id"].combine_chunks())
        self._known = place.is_valid().to_numpy(zero_copy_only=False)
        self._at = place.fill_null(0).to_numpy()
        texts = (listed[name].combine_chunks().dictionary_encode() for name in ("verdict", "fault"))
        self._verdict, self._fault = texts
        self._score = listed["score"].to_numpy()

    def of(self, row: int) -> PhotoVerdict | None:
        """Return the verdict on the photo of a row, None where nothing is known of it."""
        if not self._known[row]:
            return None
        at = int(self._at[row])
        verdict, fault = (column[at].as_py() for column in (self._verdict, self._fault))
        return PhotoVerdict(verdict, fault, float(self._score[at]))
