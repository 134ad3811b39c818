"""Faults planted in a share of a shop's photos, and a person who decides rightly of those that a stage suspects."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from visnet.photos import codec
from visnet.pipeline.reports import DATA
from visnet.quality import decisions, files, shown_crops
from visnet.quality.bands import GOOD
from visnet.quality.faults import FAULTS, OTHERS
from visnet.storage import integrity
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import Table

CROPS = DATA / "crops" / "crops.lance"


def plant(share: float, seed: int) -> dict[str, str]:
    """Make a share of the shop's photos faulty where they are kept; return photo -> its fault."""
    rng = np.random.default_rng(seed)
    crops = Table(CROPS).read(["photo_id"], shown_crops.SHOP)["photo_id"].to_pylist()
    names = np.array(sorted(set(crops)), object)
    chosen = set(rng.choice(names, round(share * len(names)), replace=False))
    folder = DATA / "raw_images"
    table = Table(folder / "photos.lance", "photo_id")
    rows = table.opened().to_table().to_pandas()
    own = {name: data for name, data in zip(rows["photo_id"], rows["image"], strict=True) if name in set(names)}
    done: dict[str, str] = {}
    made: dict[str, bytes] = {}
    for at, name in enumerate(sorted(chosen)):
        beside = [own[other] for other in rng.choice(names, OTHERS, replace=False) if other != name]
        photos = [Image.open(io.BytesIO(data)).convert("RGB") for data in (own[name], *beside)]
        for fault in np.roll(np.array(list(FAULTS), object), -at):  # the next one where this cannot be planted
            if (picture := FAULTS[fault](photos, rng)) is not None:
                done[name], made[name] = str(fault), codec.encode(picture, 90)
                break
    changed = rows[rows["photo_id"].isin(made)].copy()
    changed["image"] = [made[name] for name in changed["photo_id"]]
    changed["bytes"] = [len(data) for data in changed["image"]]
    changed["content"] = [fingerprint(data) for data in changed["image"]]
    with integrity.released(folder):
        table.put(pa.Table.from_pandas(changed, table.opened().schema, preserve_index=False), list(made))
    integrity.record(folder)
    return done


def decide(faulty: Mapping[str, str]) -> int:
    """Decide rightly of all that the stage is not sure to be good; return of how many photos."""
    flagged = Table(DATA / "photo_quality" / files.TABLE).read(["photo_id", "key"], f"verdict != '{GOOD}'").to_pandas()
    said = {
        decisions.row(decisions.CONFIRMED if photo in faulty else decisions.DISMISSED, key)
        for photo, key in zip(flagged["photo_id"], flagged["key"], strict=True)
    }
    decisions.write(Path("photo_quality.csv"), decisions.Decisions(frozenset(said)))
    return len(said)
