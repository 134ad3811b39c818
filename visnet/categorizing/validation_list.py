"""The crops that models of category paths were chosen and calibrated by, and so did not learn from."""

from pathlib import Path

import numpy as np
import pandas as pd

from visnet.categorizing.files import VALIDATION
from visnet.errors import NotFound


def write(model: Path, rows: pd.DataFrame) -> None:
    """List the crops of the split `validation` in the folder of a model; rows: crop_id, split and group."""
    own = rows.loc[rows["split"] == "validation", ["crop_id", "group"]].sort_values("crop_id")
    own.to_csv(model / VALIDATION, index=False, lineterminator="\n")


def learnt_splits(model: Path, rows: pd.DataFrame) -> pd.Series:
    """Return the split of each crop as it was for the model in a folder, whose validation need not be the crops' own.

    rows: crop_id and split. `NotFound` without the list.
    """
    if not (model / VALIDATION).is_file():
        raise NotFound(f"{model / VALIDATION}: no such file; `dvc repro taxonomy_model` makes it")
    held = pd.read_csv(model / VALIDATION, dtype={"crop_id": str}, keep_default_na=False)["crop_id"]
    own = np.where(rows["crop_id"].isin(set(held)), "validation", "train")
    return rows["split"].mask(rows["split"].isin(("train", "validation")), pd.Series(own, rows.index))
