"""triplets: which query, positive and negative crops a model learns from, validates on and is tested on."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from visnet import sheets, tables
from visnet.log import Log
from visnet.sampling import SAMPLERS, SPLITS, Crops, Sampled, metadata, street2shop
from visnet.stage import Frozen, Report


class Mix(Frozen):
    """Shares of the four kinds of the metadata sampler: positive by product or colour, negative in or out of class."""

    product_out: float = 0.63
    product_in: float = 0.27
    colour_out: float = 0.07
    colour_in: float = 0.03


class Params(Frozen):
    """Which sampler, and how many triplets for each split."""

    sampler: str = "street2shop"
    train: int = 6000
    validation: int = 600
    test: int = 1000
    negatives: int = 100
    mix: Mix = Mix()
    seed: int = 1


def build(crops: Path, *, out: Path, params: Params, log: Log) -> Report:
    """Sample the triplets of each split; write `<split>.parquet` with the columns q, p, n (crop ids) and kind."""
    if params.sampler not in SAMPLERS:
        raise ValueError(f"[triplets] sampler: {params.sampler!r} is not one of {', '.join(SAMPLERS)}")
    path = crops / "crops.lance"
    columns = ["crop_id", "photo_id", "product_id", "category", "colour", "side", "split"]
    frame = tables.read(path, columns, "lost IS NULL").to_pandas().sort_values("crop_id", ignore_index=True)
    coded = Crops.from_frame(frame)
    sampled = {split: _sample(coded, params, split) for split in SPLITS}
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
    if not len(sampled["train"].triplets):
        why = "; ".join([*sampled["train"].short, *sampled["train"].skipped]) or "none were asked for"
        raise ValueError(f"[triplets] sampler {params.sampler!r} found no training triplet: {why}")
    train = sampled["train"]
    log.picture(sheets.triplets(path, frame, train.triplets, train.kind, train.kinds))
    report["digest"] = tables.fingerprint(*[_content(found, frame["crop_id"]) for found in sampled.values()])
    return report


def _sample(crops: Crops, params: Params, split: str) -> Sampled:
    rng = np.random.default_rng([params.seed, SPLITS.index(split)])
    count = getattr(params, split)
    if params.sampler == "street2shop":
        return street2shop.sample(crops, params.negatives, rng, split=split, limit=count)
    mix = {name.replace("_", "/"): share for name, share in params.mix.model_dump().items()}
    return metadata.sample(crops, count, mix, rng, split=split)


def _write(path: Path, sampled: Sampled, crop_id: pd.Series) -> None:
    names = pa.array(crop_id.tolist(), pa.string())
    columns = [pa.DictionaryArray.from_arrays(pa.array(column, pa.int32()), names) for column in sampled.triplets.T]
    kinds = pa.DictionaryArray.from_arrays(pa.array(sampled.kind, pa.int8()), pa.array(sampled.kinds, pa.string()))
    pq.write_table(pa.table([*columns, kinds], names=["q", "p", "n", "kind"]), path)


def _content(sampled: Sampled, crop_id: pd.Series) -> str:
    return tables.fingerprint(sampled.triplets.tobytes(), sampled.kind.tobytes(), sampled.kinds, *crop_id)
