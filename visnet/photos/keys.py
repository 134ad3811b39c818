"""What photos are known by, whatever they are called: decisions of a person hold for these."""

from pathlib import Path

import numpy as np
import pandas as pd

from visnet.photos.cutting import BOX
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import Table


def photo_key(content: str, box: tuple[float, ...]) -> str:
    """Return what a photo is known by whatever it is called: the hash of its bytes, with the box that is cut."""
    return content if np.isnan(box[0]) else fingerprint(content, *box)


def photo_keys(raw_images: Path, rows: pd.DataFrame) -> list[str | float]:
    """Return the keys of crops, whose rows have photo_id and `BOX`; of a photo that is gone, NaN in its place."""
    photos = Table(raw_images / "photos.lance").read(["photo_id", "content"])
    content = pd.Series(photos["content"].to_pylist(), index=photos["photo_id"].to_pylist())
    boxes = rows[BOX].astype(float).itertuples(index=False, name=None)
    contents = content.reindex(rows["photo_id"]).tolist()
    return [photo_key(one, box) for one, box in zip(contents, boxes, strict=True)]
