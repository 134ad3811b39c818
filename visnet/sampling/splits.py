"""Who learns from which records, and who is kept for the test."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Shares:
    """Shares of products (or, where the source shares products between splits, of street photos) in [0, 1)."""

    validation: float
    test: float
    seed: int


def assign_splits(records: pd.DataFrame, shares: Shares) -> tuple[pd.Series, list[str]]:
    """Return a split per record, and the products that the source put in more than one.

    Splits that the source gives are kept. Where it gives none, products are drawn for test. Validation is drawn from
    train by product, all its photos with it; where products are shared between splits, by street photo.
    A draw hashes the id with the seed, so it holds when other records come or go.
    """
    split = records["split"].astype("object").copy()
    open_ = split == ""
    split[open_] = np.where(_draw(records.loc[open_, "product_id"], shares.seed, "test") < shares.test, "test", "train")
    street = records["side"] == "street"
    given = pd.DataFrame({"product_id": records["product_id"], "split": split})
    queries = given[street] if street.any() else given
    count = queries.drop_duplicates().groupby("product_id")["split"].nunique()
    shared = sorted(count[count > 1].index)
    by = records["photo_id"] if shared else records["product_id"]
    held = (split == "train") & (_draw(by, shares.seed, "validation") < shares.validation)
    split[held & street if shared else held] = "validation"
    return split.astype(str), shared


def _draw(ids: pd.Series, seed: int, purpose: str) -> np.ndarray:
    """Return one number in [0, 1) per id, [N] float64, the same for the same id."""
    number, unique = pd.factorize(ids)
    drawn = [hashlib.sha256(f"{purpose}:{seed}:{key}".encode()).digest()[:7] for key in unique]
    return np.array([int.from_bytes(digits, "big") / 2**56 for digits in drawn], np.float64)[number]
