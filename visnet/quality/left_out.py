"""Which bad photos are left out: all but a last one of each product, the one that misleads least."""

from typing import NamedTuple

import pandas as pd

from visnet.quality.bands import BAD
from visnet.quality.decisions import CONFIRMED

PRODUCT = ["category", "product_id"]  # another category's product may have the same id
EMPTY = ("placeholder", "text_only")  # faults of photos in which there is no product


class LeftOut(NamedTuple):
    """Crops that are left out, in order, and bad ones that stay since their product has no other photo."""

    crop_ids: tuple[str, ...]
    kept_as_last: tuple[str, ...]


def choose(rows: pd.DataFrame) -> LeftOut:
    """Choose among the shop's photos, rows of `visnet.quality.listing.QUALITY`, those that are left out.

    Of a product whose photos are all bad one stays: one that shows a product before one that shows none, one that no
    person has confirmed before one that was, then the one with the lowest score, and of equal ones the first by its id.
    """
    bad = rows["verdict"] == BAD
    lost = rows[bad & bad.groupby([rows[name] for name in PRODUCT], dropna=False).transform("all")]
    least = lost.assign(empty=lost["fault"].isin(EMPTY), confirmed=lost["decision"] == CONFIRMED)
    least = least.sort_values(["empty", "confirmed", "score", "crop_id"], kind="stable")
    kept = set(least.drop_duplicates(PRODUCT)["crop_id"])
    return LeftOut(tuple(sorted(set(rows.loc[bad, "crop_id"]) - kept)), tuple(sorted(kept)))
