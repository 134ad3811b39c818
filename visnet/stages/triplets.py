"""triplets: which query, positive and negative crops a model learns from, validates on and is tested on."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field
from torch import nn

from visnet import zoo
from visnet.embedding.crop_dataset import CropImages
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Frozen, Report, Seed, choosing, one_of
from visnet.quality.shown_crops import left_out
from visnet.sampling import exclusions, former_ids, scorers
from visnet.sampling.crops import Crops
from visnet.sampling.sampled import Asked, Looks, Sampled
from visnet.sampling.samplers import SAMPLERS
from visnet.sampling.scorers import SCORERS
from visnet.sampling.splits import SPLITS
from visnet.sheets import stage_sheets
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import Table

SCORED_SIDE_PX = 96
Scorer = Annotated[str, one_of(SCORERS)]
COUNT_MAX = 100_000_000
Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]
ORDER = ["photo_id", "product_id", "left", "top", "width", "height", "crop_id"]  # of the rows that are drawn from
DEEP = "efficientnet_lite0_frozen"  # the zoo entry whose pretrained trunk the scorer "deep" looks with


class Similarity(Frozen):
    """By what "biss" and "importance" see that two photos are alike.

    scorers: of colour, pattern and deep; deep looks with a pretrained network, whose weights are those of an installed
    package ("package"), published ones ("imagenet") or a file's.
    """

    scorers: list[Scorer] = Field(default=["colour", "pattern"], min_length=1)
    weights: str = "package"


@choosing("sampler", SAMPLERS)
class Params(Frozen):
    """Which sampler, how many triplets for each split, and what makes two photos the same thing.

    alike: "product", or "colour" where products have one photo each: then photos of one category and colour count as
    one product for losses over a batch. exclusions: what a person marked unfit. Each sampler has a table of its own.
    """

    sampler: str = "street2shop"
    train: int = Field(6000, ge=1, le=COUNT_MAX)
    validation: Count = 600
    test: Count = 1000
    alike: Literal["product", "colour"] = "product"
    exclusions: str = "exclusions.csv"
    similarity: Similarity = Similarity()
    seed: Seed = 1

    @property
    def own(self) -> Any:
        """The table of the sampler that was chosen."""
        return getattr(self, self.sampler)


def build(crops: Path, photo_quality: Path, *, out: Path, params: Params, log: Log) -> Report:
    """Sample the triplets of each split; write `<split>.parquet` with the columns q, p, n (crop ids) and kind.

    `photos.parquet` has a row for every crop that is not left out: crop_id, label (one number for what counts as one
    product), street, and whether it may be trained on.
    """
    path = crops / "crops.lance"
    columns = [*ORDER, "category", "colour", "side", "split", "lost"]
    every = Table(path).read(columns).sort_by([(name, "ascending") for name in ORDER]).to_pandas()
    excluded = _excluded(Path(params.exclusions), every, log)
    frame = every[every["lost"].isna()].reset_index(drop=True)
    unknown = excluded.unknown(frame["crop_id"])
    # Coded first: a product must not change its split because one of its photos is excluded.
    coded, kept = excluded.keep(Crops.from_frame(frame), frame["crop_id"])
    frame = frame.iloc[kept].reset_index(drop=True)
    shown = ~frame["crop_id"].isin(left_out(path, photo_quality)).to_numpy()
    coded, frame = coded.take(np.flatnonzero(shown)), frame[shown].reset_index(drop=True)
    looks = functools.cache(lambda: _described(path, frame["crop_id"].tolist(), params.similarity, log))
    sampled = {}
    for split in SPLITS:
        rng = np.random.default_rng([params.seed, SPLITS.index(split)])
        draw = functools.partial(_draw, params=params, split=split, looks=looks)
        sampled[split] = excluded.sample(draw, coded, frame["crop_id"], getattr(params, split), rng)
    report: Report = {"triplets": sum(len(s.triplets) for s in sampled.values())}
    for split, found in sampled.items():
        _write(out / f"{split}.parquet", found, frame["crop_id"])
        report[split] = len(found.triplets)
        for kind, count in found.counts().items():
            report[f"{split}_{kind.replace('/', '_')}"] = count
        report[f"{split}_short"] = sum(found.short.values())
        for reason, count in found.short.items():
            log.say(f"  {split}: {count} of {getattr(params, split)} triplets could not be had: {reason}")
        for reason, count in found.skipped.items():
            log.say(f"  {split}: {count} crops can be no query: {reason}")
    report["exclusions"], report["exclusions_unknown"] = len(excluded.rows), unknown
    report["left_out"] = int((~shown).sum())
    if not len(sampled["train"].triplets) and params.sampler != "none":
        why = "; ".join([*sampled["train"].short, *sampled["train"].skipped]) or _why_none(frame, params)
        raise ValueError(f"[triplets] sampler {params.sampler!r} found no training triplet: {why}")
    photos = _photos(frame, coded, params.alike)
    pq.write_table(pa.Table.from_pandas(photos, preserve_index=False), out / "photos.parquet")
    train = sampled["train"]
    log.picture(stage_sheets.triplets(path, frame, train.triplets, train.kind, train.kinds))
    content = [_content(found, frame["crop_id"]) for found in sampled.values()]
    report["digest"] = fingerprint(*content, *photos["label"], *photos["train"])
    return report


def _excluded(path: Path, crops: pd.DataFrame, log: Log) -> exclusions.Exclusions:
    """Read what is excluded; a list that names crops by their former ids is written anew, once."""
    listed = exclusions.read(path)
    if not (former := former_ids.there(listed)):
        return listed
    today = former_ids.carried_over(listed, crops)
    if today != listed:
        exclusions.write(path, today)
        found = len(former - former_ids.there(today))
        log.say(f"  {path}: {found} of {len(former)} crops named by position are named by content now; commit it")
    return today


def _why_none(frame: pd.DataFrame, params: Params) -> str:
    if not params.train:
        return "train = 0 asks for none"
    if params.sampler == "street2shop" and not (frame["side"] == "street").any():
        return 'it starts from street photos, and no photo is one; set [triplets] sampler = "metadata"'
    return "no photo of the training split can be a query"


def _draw(
    crops: Crops, count: int, rng: np.random.Generator, *, params: Params, split: str, looks: Callable[[], Looks]
) -> Sampled:
    drawn: Sampled = SAMPLERS[params.sampler].draw(Asked(crops, count, split, rng, looks), params.own)
    return drawn


def _described(path: Path, crop_ids: list[str], asked: Similarity, log: Log) -> Looks:
    """Describe every crop by the scorers."""
    network: nn.Module | None = None
    if "deep" in asked.scorers:
        network = zoo.trunk(DEEP, asked.weights)
    images = CropImages(path, crop_ids, SCORED_SIDE_PX)
    return scorers.describe(images, len(images), asked.scorers, network=network, log=log)


def _photos(frame: pd.DataFrame, crops: Crops, alike: str) -> pd.DataFrame:
    known = (frame["colour"] != "") & (alike == "colour")
    same = [known, frame["category"].where(known, frame["product_id"]), frame["colour"].where(known, "")]
    return pd.DataFrame(
        {
            "crop_id": frame["crop_id"],
            "label": frame.groupby(same, sort=False).ngroup(),
            "street": frame["side"] == "street",
            "train": crops.pool("train"),
        }
    )


def _write(path: Path, sampled: Sampled, crop_id: pd.Series) -> None:
    names = pa.array(crop_id.tolist(), pa.string())
    columns = [pa.DictionaryArray.from_arrays(pa.array(column, pa.int32()), names) for column in sampled.triplets.T]
    kinds = pa.DictionaryArray.from_arrays(pa.array(sampled.kind, pa.int8()), pa.array(sampled.kinds, pa.string()))
    pq.write_table(pa.table([*columns, kinds], names=["q", "p", "n", "kind"]), path)


def _content(sampled: Sampled, crop_id: pd.Series) -> str:
    return fingerprint(sampled.triplets.tobytes(), sampled.kind.tobytes(), sampled.kinds, *crop_id)
