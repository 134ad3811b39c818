"""The crops that models of category paths were chosen and calibrated by; the chosen one learns from them at last."""

from pathlib import Path

import pandas as pd

from visnet.categorizing.files import VALIDATION


def write(model: Path, rows: pd.DataFrame) -> None:
    """List the crops of the split `validation` in the folder of a model; rows: crop_id, split and group."""
    own = rows.loc[rows["split"] == "validation", ["crop_id", "group"]].sort_values("crop_id")
    own.to_csv(model / VALIDATION, index=False, lineterminator="\n")
