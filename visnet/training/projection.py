"""Fit the last layer of a frozen network to a catalog's own photos: nothing is learnt, and no photo needs a label.

A pretrained network sees all photos of one shop as alike. Less their mean, and with the directions in which they differ
most no longer drowning the others, the same numbers tell more (Jégou and Chum, ECCV 2012); and fewer of them do.
"""

from collections.abc import Sized
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from visnet.embedding.embed import embed
from visnet.pipeline.log import Log

PHOTOS_MAX = 1_000  # of a larger catalog a sample tells as much: seconds instead of minutes
ENOUGH = 512  # photos: the mean of fewer is of these photos rather than of the shop
POWER = 0.25  # of a direction's standard deviation is divided out; all of it would lift noise


def fit_projection(model: nn.Module, images: Dataset[Tensor], *, seed: int, batch: int, workers: int, log: Log) -> int:
    """Fit the model's `embedding`, a linear layer, to what its trunk makes of the photos; return how many were seen.

    images: a map-style dataset of uint8 RGB photos [3, S, S]. `ValueError` for none.
    """
    layer = cast(nn.Linear, model.embedding)
    count = len(cast(Sized, images))
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(count)[:PHOTOS_MAX])
    if not count:
        raise ValueError("there are no photos to fit the projection to; at least 1 is needed")
    try:
        model.embedding = nn.Identity()
        seen = torch.utils.data.Subset(images, rows.tolist())
        vectors = [part for _, part in embed(model, seen, batch=batch, workers=workers, log=log)]
    finally:
        model.embedding = layer
        model.cpu()  # where the layer has stayed
    weight, bias = projection(torch.cat(vectors).double().numpy(), layer.out_features, rng)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return len(rows)


def projection(vectors: np.ndarray, dimensions: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix [D, W] and the shift [D] that a linear layer makes of unit vectors [N, W], both float64.

    Of `ENOUGH` vectors: the D directions in which they vary most, less their mean, each divided by its standard
    deviation to the power of `POWER`. Of fewer: a rotation that keeps the angles between them, as far as D allows.
    """
    if len(vectors) < ENOUGH:
        basis = np.linalg.svd(vectors, full_matrices=False)[2][:dimensions]
        others = rng.standard_normal((max(0, dimensions - len(basis)), vectors.shape[1]))
        rotation = np.linalg.qr(np.concatenate([basis, others]).T)[0].T
        return _signed(rotation), np.zeros(dimensions)
    mean = vectors.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov((vectors - mean).T))
    chosen = np.argsort(-variances, kind="stable")[:dimensions]
    spread = np.sqrt(np.maximum(variances[chosen], variances.max(initial=0.0) * 1e-6 + 1e-12))
    weight = _signed(directions[:, chosen].T) / spread[:, None] ** POWER
    return weight, -weight @ mean


def _signed(rows: np.ndarray) -> np.ndarray:
    """Give each direction [D, W] the sign by which its largest number is positive: either would be as good."""
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    signed: np.ndarray = rows * np.where(largest < 0, -1.0, 1.0)
    return signed
