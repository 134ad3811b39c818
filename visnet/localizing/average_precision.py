"""How well proposed boxes are found: the average precision of COCO, for one class."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

OVERLAPS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))  # COCO's: 0.5, 0.55, … 0.95
_RECALLS = np.linspace(0.0, 1.0, 101)


def overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the intersection over union of each two boxes (left, top, right, bottom), [N, 4] and [M, 4] -> [N, M]."""
    from torchvision.ops import box_iou  # here, since importing it takes seconds

    found: Tensor = box_iou(boxes.float(), others.float())
    return found.nan_to_num(0.0)  # of two boxes without size


def average_precision(
    found: Sequence[tuple[Tensor, Tensor]], truths: Sequence[Tensor], overlap_min: float = 0.5
) -> float:
    """Return the mean of the precision over 101 levels of recall, as COCO does (Lin et al., ECCV 2014).

    found: for each photo boxes [N, 4] and scores [N]; truths: for each photo boxes [M, 4]. The boxes of a photo take
    the truths in the order of their scores, each the one that it overlaps most of those that are left, at least
    `overlap_min`. NaN without truths.
    """
    count = sum(len(boxes) for boxes in truths)
    if not count:
        return float("nan")
    scores, right = [], []
    for (boxes, mine), truth in zip(found, truths, strict=True):
        order = torch.argsort(mine, descending=True, stable=True)
        scores.append(mine[order].double().numpy())
        right.append(_right(overlaps(boxes[order], truth).double().numpy(), overlap_min))
    ranked = np.argsort(-np.concatenate(scores), kind="stable")
    hits = np.cumsum(np.concatenate(right)[ranked])
    recall, precision = hits / count, hits / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.where(at < len(precision), np.append(precision, 0.0)[at], 0.0).mean())


def mean_average_precision(found: Sequence[tuple[Tensor, Tensor]], truths: Sequence[Tensor]) -> float:
    """Return the mean of the average precision over the ten `OVERLAPS`: COCO's AP."""
    return float(np.mean([average_precision(found, truths, least) for least in OVERLAPS]))


def _right(overlap: np.ndarray, least: float) -> np.ndarray:
    """Tell of each row, highest score first, whether it takes a truth, bool [N]; overlap [N, M]."""
    free = overlap.copy()
    taken = np.zeros(len(free), bool)
    for row in range(len(free) if free.shape[1] else 0):
        best = int(free[row].argmax())
        if free[row, best] >= least:
            taken[row] = True
            free[:, best] = -1.0
    return taken
