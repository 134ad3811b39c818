"""The contact sheets of the line: what crops, triplets and answers look like."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from visnet.evaluation import metrics
from visnet.sheets.contact_sheet import RIGHT, WRONG, Thumbnail, open_images, sheet
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import Table

ANSWERS = 8


def crops(table: Path, rows: pd.DataFrame, products: int = 12) -> Image.Image:
    """Show a few products with their street crops (framed) and shop crops; rows are those of the crops table."""
    both = rows.groupby("product_id")["side"].nunique()
    chosen = sorted(both[both == both.max()].index, key=fingerprint)[:products]
    shown = rows[rows["product_id"].isin(chosen)]
    shown = shown.sort_values(["product_id", "side", "photo_id", "crop_id"], ascending=[True, False, True, True])
    shown = shown.groupby("product_id").head(6)
    found = open_images(table, shown["crop_id"].tolist())
    lines = [
        [Thumbnail(found[crop], f"{side} {split}", RIGHT if side == "street" else None) for crop, side, split in group]
        for group in (
            list(zip(own["crop_id"], own["side"], own["split"], strict=True)) for _, own in shown.groupby("product_id")
        )
    ]
    return sheet(lines, "Crops of a few products; street photos are framed", columns=2)


def triplets(
    table: Path, rows: pd.DataFrame, triplets: np.ndarray, kind: np.ndarray, kinds: Sequence[str], count: int = 24
) -> Image.Image:
    """Show `count` of the triplets [T, 3] (rows of `rows`), each kind in turn: query, positive, negative."""
    by_kind = [np.flatnonzero(kind == number) for number in range(len(kinds))]
    by_kind = [numbers for numbers in by_kind if len(numbers)]
    if not by_kind:
        return sheet([], "No triplets: the model learns from none")
    share = -(-count // len(by_kind))
    spread = [numbers[np.linspace(0, len(numbers) - 1, min(share, len(numbers))).astype(int)] for numbers in by_kind]
    shown = np.concatenate(spread)[:count]
    crop_id, category, colour = (rows[name].to_numpy() for name in ("crop_id", "category", "colour"))
    found = open_images(table, crop_id[np.unique(triplets[shown])].tolist())
    lines = [
        [
            Thumbnail(found[crop_id[q]], kinds[kind[i]]),
            Thumbnail(found[crop_id[p]], f"{category[p]} {colour[p]}", RIGHT),
            Thumbnail(found[crop_id[n]], f"{category[n]} {colour[n]}", WRONG),
        ]
        for i, (q, p, n) in zip(shown, triplets[shown], strict=True)
    ]
    return sheet(lines, f"{len(lines)} of {len(triplets)} training triplets: query, positive, negative", columns=4)


def street(table: Path, street: pd.DataFrame, rank: np.ndarray, count: int = 16) -> Image.Image:
    """Show street queries with their nearest products, the true one framed; `rank` [Q] is its place, or `MISS`."""
    chosen = _spread(street, count)
    rows = [street.loc[i] for i in chosen]
    found = open_images(table, [crop for row in rows for crop in (row["query_id"], *row["crops"][:ANSWERS])])
    lines = []
    for i, row in zip(chosen, rows, strict=True):
        place = "not found" if rank[i] == metrics.MISS else f"found at {rank[i] + 1}"
        answers = list(zip(row["products"], row["crops"], strict=True))[:ANSWERS]
        tiles = [Thumbnail(found[crop], p, RIGHT if p == row["product_id"] else None) for p, crop in answers]
        lines.append([Thumbnail(found[row["query_id"]], place), *tiles])
    recall = f"; recall@1 {np.mean(rank == 0):.3f} over {len(street)} photos" if len(street) else ": there are none"
    return sheet(lines, f"Street photos and the nearest products, the true one framed{recall}", columns=2)


def similar(table: Path, similar: pd.DataFrame, shown: pd.Series, count: int = 16) -> Image.Image:
    """Show products with the most similar others of their category; shown: the shop's crops that may be."""
    rows = [similar.loc[i] for i in _spread(similar, count)]
    columns = ["category", "product_id", "photo_id", "crop_id"]
    own = Table(table).read(columns, "side = 'shop' AND lost IS NULL").to_pandas()
    own = own[own["crop_id"].isin(shown)].sort_values(columns[2:]).drop_duplicates(columns[:2])
    first = own.set_index(columns[:2])["crop_id"]
    queries = [first[row["category"], row["product_id"]] for row in rows]
    found = open_images(table, [*queries, *(crop for row in rows for crop in row["crops"][:ANSWERS])])
    lines = []
    for query, row in zip(queries, rows, strict=True):
        answers = list(zip(row["products"], row["crops"], strict=True))[:ANSWERS]
        tiles = [Thumbnail(found[crop], product) for product, crop in answers]
        lines.append([Thumbnail(found[query], row["product_id"]), *tiles])
    return sheet(lines, "Products, each with the most similar others of its category", columns=2)


def _spread(frame: pd.DataFrame, count: int) -> list[int]:
    """Choose rows of every category in turn, by a hash of their id: the same ones as long as they exist."""
    order = frame["query_id"].map(fingerprint)
    turn = order.groupby(frame["category"]).rank().sort_values(kind="stable")
    return sorted(turn.index[:count])
