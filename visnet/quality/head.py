"""A logistic regression per fault on the features of photos: against good photos first, and the other faults second."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

REGULARISATION = 0.003  # C of scikit-learn: strong, since there are more features than photos
ROUNDS = 500
OTHERS = 0.3  # of the weight of what does not have a fault: that of photos with another one
WIDEST = 6.0  # standard deviations beyond which a feature says no more


@dataclass(frozen=True, eq=False)
class FaultHead:
    """What was fitted: features are shifted by `mean` [D] and divided by `deviation` [D]; weights [F, D], biases [F].

    The rows are of `faults`, in their order.
    """

    faults: tuple[str, ...]
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    weights: NDArray[np.float32]
    biases: NDArray[np.float32]

    def scores(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return how probable each fault is, float32 [N, F], of features [N, D], were it as frequent as good photos."""
        seen = _scaled(features, self.mean, self.deviation).astype(np.float64)
        logits = seen @ self.weights.T.astype(np.float64) + self.biases
        return (1 / (1 + np.exp(-logits.clip(-60, 60)))).astype(np.float32)

    def tensors(self) -> dict[str, Tensor]:
        """Return what is kept of it, by name; the faults in the name of their row."""
        state = {"mean": torch.from_numpy(self.mean), "deviation": torch.from_numpy(self.deviation)}
        for fault, row, bias in zip(self.faults, self.weights, self.biases, strict=True):
            state |= {f"{fault}.weight": torch.from_numpy(row.copy()), f"{fault}.bias": torch.tensor([bias])}
        return state


def fit(features: NDArray[np.floating], kinds: Sequence[str], faults: Sequence[str]) -> FaultHead:
    """Fit the regressions to features [N, D] of photos whose kinds are "" (good) or the name of a fault."""
    bent = _bent(features)
    mean, deviation = bent.mean(0), np.maximum(bent.std(0), 1e-3)
    seen, kind = _scaled(features, mean, deviation), np.asarray(kinds, object)
    good, rows = kind == "", []
    for fault in faults:
        has = kind == fault
        other = ~has & ~good
        weight = has / has.sum() + (1 - OTHERS * other.any()) * good / good.sum()
        weight = weight + (OTHERS * other / other.sum() if other.any() else 0.0)
        fitted = LogisticRegression(C=REGULARISATION, max_iter=ROUNDS, tol=1e-6)
        fitted.fit(seen, has, sample_weight=weight * len(kind) / 2)
        rows.append((fitted.coef_[0], fitted.intercept_[0]))
    return FaultHead(
        tuple(faults),
        mean,
        deviation,
        np.array([row for row, _ in rows], np.float32).reshape(len(rows), seen.shape[1]),
        np.array([bias for _, bias in rows], np.float32),
    )


def _bent(features: NDArray[np.floating]) -> NDArray[np.float32]:
    seen = np.asarray(features, np.float32)
    return np.asarray(np.sign(seen) * np.log1p(np.abs(seen)), np.float32)


def _scaled(
    features: NDArray[np.floating], mean: NDArray[np.float32], deviation: NDArray[np.float32]
) -> NDArray[np.float32]:
    return np.clip((_bent(features) - mean) / deviation, -WIDEST, WIDEST)
