"""Verdicts on a shop's photos, and crops that are left out, as the stage photo_quality leaves them."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from visnet.quality import listing, shown_crops
from visnet.quality.faults import FAULTS, REASONS
from visnet.storage import integrity
from visnet.storage.table import Table

CROPS = "data/crops/crops.lance"


def put_verdicts(shop: Path, said: Mapping[str, tuple[str, str, float]]) -> None:
    """Leave verdicts on all photos of some products: verdict, fault, score."""
    folder = shop / "data/photo_quality"
    shutil.rmtree(folder)
    folder.mkdir()
    columns = ["crop_id", "photo_id", "product_id", "category"]
    photos = Table(shop / CROPS).read(columns, "side = 'shop'").to_pandas()
    rows = photos[photos["product_id"].isin(said)].reset_index(drop=True).assign(decision="", key="")
    parts = [said[product] for product in rows["product_id"]]
    rows[["verdict", "fault", "score"]] = pd.DataFrame(parts, index=rows.index)
    rows = rows.assign(reason=rows["fault"].map(lambda fault: REASONS.get(fault, "")), **dict.fromkeys(FAULTS, 0.5))
    listing.put(folder, rows)
    integrity.record(folder)


def leave_out(shop: Path, crop_ids: Iterable[str]) -> None:
    """Have crops be left out, and no others."""
    folder = shop / "data/photo_quality"
    with integrity.released(folder):
        shown_crops.put_left_out(folder, shop / CROPS, list(crop_ids))
    integrity.record(folder)


def shop_crops(shop: Path, product: str) -> list[str]:
    """List the shop's crops of a product, in order."""
    rows = Table(shop / CROPS).read(["crop_id"], f"product_id = '{product}' AND side = 'shop'")
    return sorted(rows["crop_id"].to_pylist())
