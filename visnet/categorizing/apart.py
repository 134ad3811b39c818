"""Which photos validate models of category paths: by default none that looks much like one that is learnt from."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from visnet.categorizing.choices import PathModels
from visnet.categorizing.files import VALIDATION
from visnet.embedding.crop_dataset import CropImages
from visnet.embedding.embed import embed
from visnet.models.pretrained import load_pretrained
from visnet.models.timm_trunk import TimmTrunk
from visnet.pipeline.log import Log
from visnet.sampling import alike

BATCH = 16


def apart(crops: Path, rows: pd.DataFrame, params: PathModels, where: str, log: Log) -> pd.DataFrame:
    """Return the rows of crops with a column `group`, and whole groups of alike products for their validation.

    rows: crop_id, photo_id, product_id, category and split. The crops' test stays, and as large a share of the others
    validates as theirs did. A group is a number; under `validation = "crops"`, and in the test, one of each product.
    """
    unit = rows["photo_id"] if _shared(rows) else rows["product_id"]
    rows = rows.assign(group=pd.factorize(unit)[0])
    learnt = rows["split"].isin(("train", "validation"))
    share = float((rows.loc[learnt, "split"] == "validation").mean())
    if params.validation == "crops" or not share:
        return rows
    own = rows[learnt].assign(unit=unit[learnt]).sort_values("crop_id")
    names, number = np.unique(own["unit"].to_numpy(str), return_inverse=True)
    first = np.unique(number, return_index=True)[1]
    category = pd.factorize(own["category"], sort=True)[0][first]
    group = alike.groups(_vectors(crops, own["crop_id"].tolist(), number, params, where, log), category)
    held = alike.kept_apart(group, category, names.tolist(), share, params.seed)
    own["group"] = group[number] + int(rows["group"].max()) + 1
    own["split"] = np.where(held[number], "validation", "train")
    rows.loc[own.index, ["group", "split"]] = own[["group", "split"]]
    log.say(f"  {len(set(group))} groups of alike products, {len(set(group[held]))} of which validate")
    return rows


def write(model: Path, rows: pd.DataFrame) -> None:
    """List the crops of the validation, and their groups, in the folder of a model; rows: as `apart` returns them."""
    own = rows.loc[rows["split"] == "validation", ["crop_id", "group"]].sort_values("crop_id")
    own.to_csv(model / VALIDATION, index=False, lineterminator="\n")


def _shared(rows: pd.DataFrame) -> bool:
    """Tell whether a product stands in two splits, so that the crops were drawn by photo."""
    return bool((rows.groupby("product_id")["split"].nunique() > 1).any())


def _vectors(
    crops: Path, crop_ids: list[str], number: np.ndarray, params: PathModels, where: str, log: Log
) -> np.ndarray:
    """Return the mean unit vector of the trunk, as it is before it learns, of each product's crops, [N, D] float32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.seed)
        trunk = TimmTrunk(network=params.network, embedding=0)
    load_pretrained(trunk, params.weights, where)
    images = CropImages(crops / "crops.lance", crop_ids, params.side_px, keep=False)
    parts = [found for _, found in embed(trunk, images, batch=BATCH, log=log, workers=params.workers)]
    vectors = torch.cat(parts).double().numpy()
    summed = np.zeros((int(number.max()) + 1, vectors.shape[1]))
    np.add.at(summed, number, vectors)
    return (summed / np.bincount(number)[:, None]).astype(np.float32)
