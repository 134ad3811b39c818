"""Planted cases: which good photos of the shop are made faulty, and what each case is made of.

Photos are taken as they are, that is as good ones, though a few will not be, until a person has said so: those are left
out, since one blurred photo among the good ones that the bands are chosen on makes any other seem good. A case follows
from the seed and the photos that it is made of alone, so that it is made again only when these change.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from visnet.photos.cutting import BOX
from visnet.photos.keys import photo_keys
from visnet.quality.faults import FAULTS, OTHERS
from visnet.sampling.splits import SPLITS
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import Table

GOOD = ("as_it_is", "varied", "hard")
KINDS = (*GOOD, *FAULTS)
PHOTOS_MIN = {"train": 16, "validation": 6, "test": 6}  # of a split; and cases of a fault that is learnt


def chosen(
    raw_images: Path, crops: Path, at_most: Mapping[str, int], seed: int, *, confirmed: Collection[str] = ()
) -> pd.DataFrame:
    """Choose shop photos of each split, at most so many, by a hash of their ids; a product is in one split only.

    confirmed: keys of photos (`photo_keys`) that a person has called bad. `ValueError` where a split has too few.
    """
    columns = ["crop_id", "photo_id", "product_id", "split", "content", *BOX]
    rows = Table(crops / "crops.lance").read(columns, "lost IS NULL AND side = 'shop'").to_pandas()
    if confirmed:
        rows = rows[~pd.Series(photo_keys(raw_images, rows), rows.index, object).isin(set(confirmed))]
    parts = []
    taken: set[str] = set()
    for split in reversed(SPLITS):  # what is measured on is not learnt from
        every = rows[(rows["split"] == split) & ~rows["product_id"].isin(taken)]
        own = every.assign(order=[fingerprint(seed, one) for one in every["crop_id"]]).sort_values("order")
        own = own.head(at_most[split])
        if len(own) < PHOTOS_MIN[split]:
            raise ValueError(
                f"photo_quality.toml: [photo_quality] enabled: the split {split!r} has {len(own)} shop photos of "
                f"products of its own, and {PHOTOS_MIN[split]} are needed; set it to false"
            )
        taken |= set(every["product_id"])
        parts.append(own.drop(columns="order"))
    return pd.concat(parts).reset_index(drop=True)


def key(crop_id: str, kind: str) -> str:
    """Return what a case is called."""
    return f"{kind}|{crop_id}"


def made_as(case: str) -> str:
    """Return what was made of a case's photo: one of `KINDS`."""
    return case.partition("|")[0]


def fault_of(case: str) -> str:
    """Return the fault of a case, "" of a good one."""
    return made_as(case) if made_as(case) in FAULTS else ""


def crop_of(case: str) -> str:
    """Return the crop that a case is made from."""
    return case.partition("|")[2]


def others(rows: pd.DataFrame, crop_id: str, seed: int) -> list[str]:
    """Draw photos to stand beside one of a split's rows, of other products where there are any."""
    product, names = rows["product_id"].to_numpy(object), rows["crop_id"].to_numpy(object)
    pool = names[product != product[names == crop_id][0]]
    pool = pool if len(pool) else names
    rng = np.random.default_rng([seed, int(fingerprint("others", crop_id)[:8], 16)])
    drawn: list[str] = pool[rng.choice(len(pool), min(OTHERS, len(pool)), replace=False)].tolist()
    return drawn


def sources(rows: pd.DataFrame, made: str, seed: int) -> dict[str, str]:
    """Return case -> what it is made of, of the rows of one split; `made`: how."""
    content = dict(zip(rows["crop_id"], rows["content"], strict=True))
    whole = fingerprint(*sorted(content.items()))  # whatever products can be cut out of
    found = {}
    for crop_id in rows["crop_id"]:
        beside = {"collage": [content[one] for one in others(rows, crop_id, seed)], "several": [whole]}
        for kind in KINDS:
            source = fingerprint(made, seed, kind, content[crop_id], *beside.get(kind, []))
            found[key(crop_id, kind)] = source
    return found
