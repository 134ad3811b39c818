"""crops: one upright RGB picture per photo, product and box, with the split that it belongs to."""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from visnet.engines import Engine, cluster
from visnet.photos.cutting import BOX, Cut, cut_all
from visnet.photos.loss_gate import LossGate, TooManyLost
from visnet.photos.spread_cutting import cut_on
from visnet.pipeline.budget import BATCH_BYTES
from visnet.pipeline.log import Log, Progress
from visnet.pipeline.stage import Frozen, Report, Seed, Share
from visnet.sampling.splits import SPLITS, Shares, assign_splits
from visnet.sheets import stage_sheets
from visnet.storage import atomic
from visnet.storage.fingerprints import HASH_COLUMNS, fingerprint, fingerprints
from visnet.storage.table import Difference, Table, wanted_rows

IN_PLACE = True
TABLE = "crops.lance"
METRICS = ("lost", "products")
COMMIT_EVERY = 4096
DRAWING = 2  # raise when the same photo and parameters give another picture than before
COLUMNS = ["crop_id", "photo_id", "product_id", "category", "side", "split", "colour", "gender"]
CROP = pa.schema(
    [
        *[(name, pa.string()) for name in COLUMNS],
        *[(name, pa.float64()) for name in BOX],  # null of a whole photo
        ("image", pa.large_binary()),  # JPEG; null when lost
        ("lost", pa.string()),
        *HASH_COLUMNS,
    ]
)


class Params(Frozen):
    """How crops are cut, who learns from which, and where they are cut: "ray" does so on a Ray cluster."""

    side_px: int = Field(160, ge=16, le=4096)
    quality: int = Field(90, ge=1, le=100)
    validation_share: float = Field(0.12, ge=0, lt=1)
    test_share: float = Field(0.2, ge=0, lt=1)
    shared_products: Literal["refuse", "allow"] = "refuse"
    small_categories: Literal["refuse", "drop"] = "refuse"
    lost_share_max: Share | None = 0.02
    seed: Seed = 1
    engine: Engine = "local"


def build(raw_images: Path, *, out: Path, params: Params, log: Log) -> Report:
    """Bring the crops table up to the records and photos; cut only what is new or changed."""
    crops = Table(out / "crops.lance", "crop_id")
    records, records_without_photo, small = _records(raw_images, params)
    shares = Shares(params.validation_share, params.test_share, params.seed)
    given = records["split"]
    records["split"], shared = assign_splits(records, shares)
    if shared and params.shared_products == "refuse":
        raise ValueError(
            f"[crops] shared_products: {len(shared)} products stand in two splits (the first: {shared[0]}, in "
            f"{' and '.join(sorted(set(given[records['product_id'] == shared[0]])))}), "
            'so that what was learnt by heart would be measured; allowed are "refuse" and "allow"'
        )
    making = (DRAWING, params.side_px, params.quality)
    columns = [*COLUMNS, *BOX, "photo_content"]
    made = pa.repeat(fingerprint(*making), len(records))
    records["source"] = fingerprints(made, *(pa.array(records[name], from_pandas=True) for name in columns))
    change = crops.compare(wanted_rows(records["crop_id"], records["source"]))
    todo = records[records["crop_id"].isin(set(change.todo))].sort_values("photo_id", kind="stable")
    before = crops.version if crops.exists() else None
    if before is None:
        crops.put(CROP.empty_table())
    try:
        crops.add_columns(CROP)
        with (
            _made(raw_images / "photos.lance", todo, params, log) as made,
            log.progress("crops", len(records), done=change.same, unit="crop") as progress,
        ):
            _commit(made, crops, todo, change, params, progress, len(records))
    except TooManyLost:
        if before is None:
            atomic.remove(crops.path)
        else:
            crops.restore(before)
        raise
    crops.delete(change.gone)

    whole = crops.read([*COLUMNS, "lost"]).to_pandas()
    lost = Counter(whole["lost"].dropna())
    for reason, count in lost.most_common():
        log.say(f"  lost {count} crop{'s' * (count != 1)}: {reason}")
    if small:
        named = ", ".join([*map(repr, small[:3]), *["…"] * (len(small) > 3)])
        log.say(f"  left out {len(small)} categor{'y' if len(small) == 1 else 'ies'} of fewer than 2 products: {named}")
    log.picture(stage_sheets.crops(crops.path, whole[whole["lost"].isna()]))
    return {
        "crops": len(whole),
        **{f"{side}_crops": int((whole["side"] == side).sum()) for side in ("street", "shop")},
        **{f"{split}_crops": int((whole["split"] == split).sum()) for split in SPLITS},
        "lost": sum(lost.values()),
        "lost_share": round(sum(lost.values()) / len(whole), 6),
        "lost_share_max": params.lost_share_max,
        "records_without_photo": records_without_photo,
        "products": int(whole["product_id"].nunique()),
        "categories": int(whole["category"].nunique()),
        "small_categories": len(small),
        "products_in_two_splits": len(shared),
        "products_in_two_splits_max": 0 if params.shared_products == "refuse" else None,
        "added": len(change.new),
        "changed": len(change.changed),
        "removed": len(change.gone),
        "digest": crops.digest(),
    }


def _records(raw_images: Path, params: Params) -> tuple[pd.DataFrame, int, list[str]]:
    """Join the records with the photos that are there; refuse or drop categories in which nothing can be told apart.

    Returns what stays, how many records do not, and the categories that were dropped.
    """
    listed = Table(raw_images / "records.lance").read([*COLUMNS, *BOX])
    photos = Table(raw_images / "photos.lance").read(["photo_id", "content"], "lost IS NULL").combine_chunks()
    at = pc.index_in(listed["photo_id"], value_set=photos["photo_id"].combine_chunks())
    found = listed.append_column("photo_content", photos["content"].take(at)).filter(at.is_valid())
    joined = found.sort_by("crop_id").to_pandas()
    shop = joined[joined["side"] == "shop"].groupby("category")["product_id"].nunique()
    small = sorted(category for category in listed["category"].unique().to_pylist() if shop.get(category, 0) < 2)
    if small and params.small_categories == "refuse":
        raise ValueError(
            f"[crops] small_categories: category {small[0]!r} has {shop.get(small[0], 0)} product(s) with shop photos, "
            'and 2 are needed to tell one from another; leave it out of the source, or set "drop"'
        )
    if joined.empty:
        raise ValueError(f"{raw_images}: no record has a photo; {raw_images}/lost.csv says why")
    joined = joined[~joined["category"].isin(small)]
    if joined.empty:
        raise ValueError(f"{raw_images}: no category has photos of 2 products, to tell one from another")
    return joined.reset_index(drop=True), len(listed) - len(joined), small


@contextlib.contextmanager
def _made(
    photos: Path, todo: pd.DataFrame, params: Params, log: Log
) -> Iterator[Iterator[tuple[pd.DataFrame, list[Cut]]]]:
    """Give what comes of the boxes, cut here or on a cluster, which is connected while there is work for it."""
    if params.engine == "local" or todo.empty:
        yield cut_all(photos, todo, params.side_px, params.quality)
        return
    with (
        cluster.connected(log) as nodes,
        contextlib.closing(cut_on(nodes, photos, todo, params.side_px, params.quality)) as made,
    ):
        yield made


def _commit(
    made: Iterator[tuple[pd.DataFrame, list[Cut]]],
    crops: Table,
    todo: pd.DataFrame,
    change: Difference,
    params: Params,
    progress: Progress,
    count: int,
) -> None:
    gate = LossGate(
        crops,
        stage="crops",
        redone=[*change.changed, *change.gone],
        count=count,
        share_max=params.lost_share_max,
        replaced=_replaced(crops, todo, change),
    )
    held = [CROP.empty_table()]  # lost crops that stand there now
    for rows in _batches(made):
        lost = rows.filter(pc.is_valid(rows["lost"]))
        back = gate.note(dict(zip(lost["crop_id"].to_pylist(), lost["lost"].to_pylist(), strict=True)))
        is_back = pc.is_in(rows["crop_id"], pa.array(sorted(back), pa.string()))
        held.append(rows.filter(is_back))
        crops.put(rows.filter(pc.invert(is_back)), change.changed)
        progress.advance(rows.num_rows)
    if gate.reasons.total() >= count:
        raise gate.refusal()
    crops.put(pa.concat_tables(held), change.changed)


def _replaced(crops: Table, todo: pd.DataFrame, change: Difference) -> dict[str, str]:
    """Return new crop -> a crop of the same photo and product that goes, since its box is another one now."""
    if not change.gone:
        return {}
    table = crops.read(["crop_id", "photo_id", "product_id"])
    going = table.filter(pc.is_in(table["crop_id"], pa.array(change.gone, pa.string()))).to_pandas()
    goes = dict(zip(zip(going["photo_id"], going["product_id"], strict=True), going["crop_id"], strict=True))
    pairs = zip(todo["crop_id"], zip(todo["photo_id"], todo["product_id"], strict=True), strict=True)
    return {crop_id: goes[pair] for crop_id, pair in pairs if pair in goes}


def _batches(cut: Iterator[tuple[pd.DataFrame, list[Cut]]]) -> Iterator[pa.Table]:
    """Put the crops of many photos together: commits are large, but of so many bytes."""
    frames: list[pd.DataFrame] = []
    made: list[Cut] = []
    held = 0
    for frame, cuts in cut:
        frames.append(frame)
        made += cuts
        held += sum(len(one.image or b"") for one in cuts)
        if len(made) >= COMMIT_EVERY or held >= BATCH_BYTES:
            yield _rows(pd.concat(frames), made)
            frames, made, held = [], [], 0
    if made:
        yield _rows(pd.concat(frames), made)


def _rows(batch: pd.DataFrame, made: list[Cut]) -> pa.Table:
    columns = {name: pa.array(batch[name], from_pandas=True) for name in [*COLUMNS, *BOX, "source"]}
    columns["image"] = [cut.image for cut in made]
    columns["lost"] = [cut.lost for cut in made]
    columns["content"] = [
        fingerprint(*row, cut.lost, cut.image and hashlib.sha256(cut.image).hexdigest())
        for row, cut in zip(batch[COLUMNS].itertuples(index=False, name=None), made, strict=True)
    ]
    return pa.table(columns, schema=CROP)
