"""Exclusions whose crops are named as once: photo|product|n, the n-th box of the product in the photo from the left."""

from collections import defaultdict

import pandas as pd

from visnet.sampling.exclusions import Exclusions, row

SIGN = "|"  # stands in every former id, and in none of today's


def there(listed: Exclusions) -> set[str]:
    """Return the former ids of a list."""
    return {crop for _, *pair in listed.rows for crop in pair if SIGN in crop}


def carried_over(listed: Exclusions, crops: pd.DataFrame) -> Exclusions:
    """Name crops by today's ids; what names a crop that is not there stays as it is.

    crops: crop_id, photo_id and product_id of all crops, the lost ones too, by photo, product, left, top, width and
    height. Their numbers are what they were if no box of these has come or gone meanwhile. Where one former id was that
    of several crops, each of them is excluded, as it was.
    """
    wanted = there(listed)
    number = crops.groupby(["photo_id", "product_id"], sort=False).cumcount().astype(str)
    former = crops["photo_id"] + SIGN + crops["product_id"] + SIGN + number
    today: dict[str, list[str]] = defaultdict(list)
    found = former.isin(wanted)
    for crop, name in zip(crops["crop_id"][found], former[found], strict=True):
        today[name].append(crop)
    return Exclusions(
        frozenset(
            row(what, new_a, new_b)
            for what, a, b in listed.rows
            for new_a in today.get(a, [a])
            for new_b in today.get(b, [b])
            if new_a != new_b
        )
    )
