"""Train a localizer on the source's boxes and on composites, and measure it."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from visnet.localizing import average_precision as precision
from visnet.localizing.boxed_photos import Boxed, BoxedPhotos, boxed_street
from visnet.localizing.choices import LocalizerChoices
from visnet.localizing.composites import cutouts
from visnet.localizing.localizer import Localizer, gain, unsure_below
from visnet.localizing.task import LocalizerTask
from visnet.models.detector import Detector
from visnet.models.pretrained import load_pretrained
from visnet.pipeline.log import Log
from visnet.pipeline.stage import Report
from visnet.sheets import box_sheet
from visnet.training import Options, fit
from visnet.zoo import Optimizer, Schedule

SPLITS = ("train", "validation", "test")
FROZEN_BLOCKS, WIDTH = 6, 96
AT_ONCE = 16  # photos that are measured together
SHOWN = 60


def learn(raw_images: Path, crops: Path, out: Path, params: LocalizerChoices, checkpoints: Path, log: Log) -> Report:
    """Train, or go on where a killed training stopped; write the localizer to `out`, measured on the test's photos."""
    rows = boxed_street(crops)
    photos = {split: _photos(raw_images, rows, split, params.side_px) for split in SPLITS}
    pieces = cutouts(crops) if params.composites else []
    log.say(f"  {len(photos['train'])} photos with boxes to learn from, {len(pieces)} products to paste into them")

    settings: dict[str, str | int] = {
        "network": params.network,
        "side_px": params.side_px,
        "frozen_blocks": FROZEN_BLOCKS,
        "width": WIDTH,
    }
    model = _begun(settings, params)
    task = LocalizerTask(
        model, photos["train"], photos["validation"], pieces,
        batch=params.batch, composites=params.composites, seed=params.seed,
    )  # fmt: skip
    options = Options(
        epochs=params.epochs,
        optimizer=Optimizer(
            name="adamw", lr=params.lr, trunk_lr_factor=0.2, weight_decay=1e-4, clip_norm=5.0, ema_decay=0.98
        ),
        schedule=Schedule(name="cosine", warmup_epochs=1.0),
        seed=params.seed,
        precision="fp32",
        workers=params.workers,
    )
    fitted = fit(task, options, checkpoints, log)
    localizer = Localizer(model, settings, 0.0)
    localizer.unsure_below, told = _threshold(localizer, photos["validation"])
    made_by = localizer.save(out)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "photos": len(photos["train"]),
        "cutouts": len(pieces),
        "epochs": fitted.epochs,
        "best_epoch": fitted.best_epoch,
        "resumed_from_epoch": fitted.resumed_from_epoch,
        **{name: _rounded(value) for name, value in fitted.metrics.items() if name != "lr"},
        **told,
        **_measured(localizer, photos["test"], log),
        "training_s": round(fitted.wall_s, 3),
        "digest": made_by[:32],
    }


def _begun(settings: dict[str, str | int], params: LocalizerChoices) -> Detector:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.seed)
        model = Detector(**settings)  # type: ignore[arg-type]
    load_pretrained(model, params.weights, "localizer.toml: [localizer]")
    return model


def _photos(raw_images: Path, rows: pd.DataFrame, split: str, side_px: int) -> BoxedPhotos:
    own = rows[rows["split"] == split]
    if own.empty:
        raise ValueError(
            f"localizer.toml: [localizer] enabled: the source gives no box of a street photo of the split {split!r}; "
            "a localizer needs some of each, so set it to false"
        )
    return BoxedPhotos(raw_images / "photos.lance", own, side_px)


def _threshold(localizer: Localizer, photos: BoxedPhotos) -> tuple[float, Report]:
    """Choose the score below which nothing is proposed, on photos and on parts of them that show no product."""
    seen = [photos[row] for row in range(len(photos))]
    empty = [part for row in range(len(photos)) if (part := photos.empty(row))]
    seen += empty
    best = [
        (float(scores[0]), gain(boxes[0], one.boxes, one.frame.whole))
        for one, (boxes, scores) in zip(seen, _found(localizer, seen), strict=True)
        if len(scores)
    ]
    score, gains = [one for one, _ in best], [one for _, one in best]
    return unsure_below(score, gains), {"validation_photos": len(photos), "validation_empty_parts": len(empty)}


def _measured(localizer: Localizer, photos: BoxedPhotos, log: Log) -> Report:
    """Measure the proposals on photos that nothing was chosen by, and show some of them."""
    seen = [photos[row] for row in range(len(photos))]
    found, truths = _found(localizer, seen), [one.boxes for one in seen]
    sure = [len(scores) > 0 and float(scores[0]) >= localizer.unsure_below for _, scores in found]
    used = [boxes[0] if one else photo.frame.whole for one, photo, (boxes, _) in zip(sure, seen, found, strict=True)]
    overlap = [float(precision.overlaps(box[None], truth).amax()) for box, truth in zip(used, truths, strict=True)]
    tiles = [
        box_sheet.boxed(
            photos.picture(row), [(b[0], b[1], b[2], b[3]) for b in photos.boxes[row].tolist()],
            seen[row].frame.back(used[row]) if sure[row] else None,
            f"overlap {overlap[row]:.2f}" if sure[row] else "unsure: the whole photo", overlap[row] >= 0.5,
        )
        for row in _spread(len(photos))
    ]  # fmt: skip
    ap50 = precision.average_precision(found, truths)
    log.picture(box_sheet.boxes(tiles, f"Proposed boxes in green, true ones in white; AP50 {ap50:.3f}"))
    whole = [float(precision.overlaps(one.frame.whole[None], one.boxes).amax()) for one in seen]
    return {
        "test_photos": len(photos),
        "ap": _rounded(precision.mean_average_precision(found, truths)),
        "ap50": _rounded(ap50),
        "mean_overlap": _rounded(sum(overlap) / len(overlap)),
        "whole_mean_overlap": _rounded(sum(whole) / len(whole)),
        "unsure_share": _rounded(1 - sum(sure) / len(sure)),
        "unsure_below": localizer.unsure_below,
    }


def _found(localizer: Localizer, seen: Sequence[Boxed]) -> list[tuple[Tensor, Tensor]]:
    found: list[tuple[Tensor, Tensor]] = []
    for first in range(0, len(seen), AT_ONCE):
        some = torch.stack([one.pixels for one in seen[first : first + AT_ONCE]])
        found += localizer.found(some, AT_ONCE)
    return found


def _spread(count: int) -> list[int]:
    return sorted({round(at * (count - 1) / max(1, min(SHOWN, count) - 1)) for at in range(min(SHOWN, count))})


def _rounded(value: float) -> float:
    return round(float(value), 6)
