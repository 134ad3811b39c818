"""What has learnt to see the faults, the bands of its scores, and what both come to on photos that were kept for it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from visnet.pipeline.stage import Report
from visnet.quality import bands, cases, photo_features
from visnet.quality.bands import BAD, GOOD, Band, MeasuredBand, Precisions
from visnet.quality.faults import FAULTS
from visnet.quality.head import FaultHead, fit


@dataclass(frozen=True, eq=False)
class Learnt:
    """A head, the bands of its faults, and what they come to on the test's cases.

    measured: by fault. too_few: fault that is not learnt -> in how many photos of all splits it could be planted.
    scores: of the test's cases, case -> scores [F]. alarm_share and good_unsure_share: of the test's good photos, those
    that are bad, or unsure, for any fault; missed_share: of all that is planted there, what is called good.
    """

    head: FaultHead
    bands: Mapping[str, Band]
    measured: Mapping[str, MeasuredBand]
    too_few: Mapping[str, int]
    scores: Mapping[str, NDArray[np.float32]]
    alarm_share: float
    good_unsure_share: float
    missed_share: float

    def report(self) -> Report:
        """Return the figures, flat: those of a fault begin with its name."""
        told: Report = {
            "accuracy_min": _rounded(min(one.accuracy for one in self.measured.values())),
            "average_precision_min": _rounded(min(one.average_precision for one in self.measured.values())),
            "alarm_share": _rounded(self.alarm_share),
            "good_unsure_share": _rounded(self.good_unsure_share),
            "missed_share": _rounded(self.missed_share),
        }
        for fault, one in self.measured.items():
            told[f"{fault}_good_precision_kept"] = self.bands[fault].kept
            told |= {f"{fault}_{name}": _rounded(value) for name, value in one._asdict().items()}
        return told | {f"{fault}_cases": count for fault, count in self.too_few.items()}


def learn(table: Path, rows: pd.DataFrame, wanted: Precisions) -> Learnt:
    """Fit on the cases of the training photos, choose bands on validation's, and measure on the test's.

    table: the cases' features; rows: of `cases.chosen`. `ValueError` where no fault can be learnt.
    """
    names, features = photo_features.read(table)
    split_of = dict(zip(rows["crop_id"], rows["split"], strict=True))
    split = np.array([split_of[cases.crop_of(name)] for name in names], object)
    fault = np.array([cases.fault_of(name) for name in names], object)
    counts = {one: {part: int(((fault == one) & (split == part)).sum()) for part in cases.PHOTOS_MIN} for one in FAULTS}
    few = {
        one: sum(own.values())
        for one, own in counts.items()
        if any(own[p] < cases.PHOTOS_MIN[p] for p in cases.PHOTOS_MIN)
    }
    faults = tuple(one for one in FAULTS if one not in few)
    known = np.isin(fault, ["", *faults])
    learns = (split == "train") & known
    fitted = fit(features[learns], fault[learns].tolist(), faults)
    scores = fitted.scores(features)
    of = dict(_parts(scores, split, fault, faults))
    chosen = {one: bands.choose(*of["validation", one], wanted) for one in faults}
    measured = {one: bands.measure(chosen[one], *of["test", one], wanted.fault_share) for one in faults}
    tested = np.flatnonzero((split == "test") & known)
    said = np.array(
        [bands.verdict(dict(zip(faults, scores[at].tolist(), strict=True)), chosen)[0] for at in tested], object
    )
    good = fault[tested] == ""
    return Learnt(
        fitted, chosen, measured, few, {names[at]: scores[at] for at in tested},
        alarm_share=float((said[good] == BAD).mean()),
        good_unsure_share=float((said[good] == bands.UNSURE).mean()),
        missed_share=float((said[~good] == GOOD).mean()),
    )  # fmt: skip


def _parts(
    scores: NDArray[np.float32], split: NDArray[np.object_], fault: NDArray[np.object_], faults: tuple[str, ...]
) -> Iterator[tuple[tuple[str, str], tuple[NDArray[np.float32], NDArray[np.float32]]]]:
    """Yield (split, fault) -> its scores of photos with the fault, and of good ones."""
    for part in ("validation", "test"):
        for at, one in enumerate(faults):
            own = split == part
            yield (part, one), (scores[own & (fault == one), at], scores[own & (fault == ""), at])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)
