"""Street photos as they are, with nothing cut out of them: what a person sends who draws no box."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from visnet.embedding import embed
from visnet.embedding.crop_dataset import square
from visnet.embedding.model_id import precision_of
from visnet.embedding.vectors import Vectors
from visnet.photos import codec
from visnet.photos.cutting import BOX, cut_all
from visnet.pipeline.log import Log
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import Table

COLUMNS = ["crop_id", "photo_id", "product_id", "category", "side", "colour"]
LONG_SIDE_PX, QUALITY = 512, 95  # as which a photo waits until it is embedded
AT_ONCE, BATCH = 256, 16  # photos that wait, and that are embedded together


def street_photos(crops: Path, split: str, most: int) -> pd.DataFrame:
    """Read what the street photos of a split show, `COLUMNS`: of `most` of them, in a fixed order of chance.

    Sorted by photo, a row for each product; none where no photo has a box, since there the crops are the photos.
    """
    where = f"lost IS NULL AND side = 'street' AND split = '{split}'"
    table = Table(crops / "crops.lance")
    if not table.read(["crop_id"], f"{where} AND width > 0").num_rows:
        return pd.DataFrame(columns=COLUMNS)
    rows = table.read(COLUMNS, where).to_pandas().sort_values(["photo_id", "crop_id"])
    chosen = sorted(rows["photo_id"].unique(), key=fingerprint)[:most]
    return rows[rows["photo_id"].isin(chosen)].reset_index(drop=True)


def embedded(photos: Path, rows: pd.DataFrame, by: tuple[nn.Module, int, str], log: Log) -> Vectors | None:
    """Embed the photos of some rows (`street_photos`) from the table of photos; a row has its photo's vector.

    by: the network, the side of what it takes, and the id of the model. None of no rows.
    """
    model, side_px, made_by = by
    if not len(rows):
        return None
    found: dict[str, torch.Tensor] = {}
    with log.progress("uncropped photos", rows["photo_id"].nunique(), unit="photo") as progress:
        for names, squares in _squares(photos, rows, side_px):
            vectors = embed.embed(model, squares, batch=BATCH, precision=precision_of(made_by))  # type: ignore[arg-type]
            found |= dict(zip(names, torch.cat([some for _, some in vectors]), strict=True))
            progress.advance(len(names))
    return Vectors(rows, torch.stack([found[name] for name in rows["photo_id"]]), made_by)


def _squares(photos: Path, rows: pd.DataFrame, side_px: int) -> Iterator[tuple[list[str], list[torch.Tensor]]]:
    wanted = pd.DataFrame({"photo_id": rows["photo_id"].unique()}).assign(**dict.fromkeys(BOX, np.nan))
    names: list[str] = []
    squares: list[torch.Tensor] = []
    for cut, made in cut_all(photos, wanted, LONG_SIDE_PX, QUALITY):
        assert made[0].image is not None, "its crop was made of it"
        names.append(str(cut["photo_id"].iloc[0]))
        squares.append(square(codec.decode(made[0].image), side_px))
        if len(names) == AT_ONCE:
            yield names, squares
            names, squares = [], []
    if names:
        yield names, squares
