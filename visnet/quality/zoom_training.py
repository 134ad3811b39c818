"""The zoom filter trained on the planted close-ups, and measured; done again only where its photos have changed."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from visnet.pipeline.log import Log
from visnet.pipeline.stage import Report
from visnet.quality import cases, files
from visnet.quality.planter import Planter
from visnet.quality.zoom_filter import AUGMENT, PARAMETERS, ZoomFilter, ZoomTask, squares
from visnet.storage import atomic
from visnet.storage.fingerprints import fingerprint
from visnet.training import Options, fit
from visnet.zoo import Optimizer, Schedule

VERSION = 1  # raise when the same photos give another filter than before
CHECKPOINTS = "checkpoints"
KINDS = ("close_up", "hard", "varied")
BATCH, LR = 64, 0.0007  # published are 128 and 0.001, for eight times as many photos


def bring(out: Path, planter: Planter, sources: Mapping[str, str], epochs: int, seed: int, log: Log) -> Report:
    """Train the filter if its cases, case -> what it is made of, are others than before; tell what it comes to.

    Its measures are those of the test's close-ups beside good photos, as many of these as of those count.
    """
    weights, measured = out / files.ZOOM, out / files.ZOOM_MEASURED
    if not epochs:
        for path in (weights, measured):
            path.unlink(missing_ok=True)
        return {"zoom_accuracy": None, "zoom_average_precision": None}
    own = {case: source for case, source in sorted(sources.items()) if cases.made_as(case) in KINDS}
    made = fingerprint(VERSION, AUGMENT, BATCH, LR, epochs, seed, *own.items())
    if measured.exists() and weights.exists():
        told = json.loads(measured.read_text(encoding="utf-8"))
        if told.pop("made") == made:
            return dict(told)
    split = {crop: part for part, rows in planter.rows.items() for crop in rows["crop_id"]}
    parts = {
        part: _photos(planter, [case for case in own if split[cases.crop_of(case)] == part])
        for part in ("train", "validation", "test")
    }
    task = ZoomTask(parts["train"], parts["validation"], batch=BATCH, seed=seed)
    options = Options(
        epochs=epochs,
        optimizer=Optimizer(name="rmsprop", lr=LR, momentum=0.0),
        schedule=Schedule(name="cosine"),
        seed=seed,
        precision="fp32",
    )
    fit(task, options, out / CHECKPOINTS, log)
    model = task.model
    assert isinstance(model, ZoomFilter)
    photos, zoomed = parts["test"]
    scores = model.scores(photos)
    right = torch.from_numpy(scores >= 0.5) == zoomed
    weight = torch.where(zoomed, 1 / zoomed.sum(), 1 / (~zoomed).sum()).numpy()
    precision = average_precision_score(zoomed.numpy(), scores, sample_weight=weight)
    accuracy = (right[zoomed].float().mean() + right[~zoomed].float().mean()) / 2
    report: Report = {
        "zoom_accuracy": round(float(accuracy), 6),
        "zoom_average_precision": round(float(precision), 6),
        "zoom_parameters": PARAMETERS,
    }
    with atomic.writing(weights) as building:
        safetensors.torch.save_file({name: value.contiguous() for name, value in model.state_dict().items()}, building)
    atomic.put_json(measured, {"made": made, **report})  # last: until then it is trained again, or goes on
    shutil.rmtree(out / CHECKPOINTS)
    return report


def _photos(planter: Planter, wanted: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return cases as squares uint8 [N, 3, S, S], and whether each is a close-up, bool [N]."""
    found = dict(planter.pictures(wanted))
    return squares(list(found.values())), torch.tensor([cases.fault_of(case) == "close_up" for case in found])
