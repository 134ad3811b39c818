"""What boxes are worth to a search: recall with proposed boxes, beside that with true ones and with whole photos."""

from collections.abc import Mapping

import numpy as np

from visnet.evaluation import metrics

BOXES = ("true", "proposed", "whole")


def recalls(found: Mapping[str, np.ndarray], ks: tuple[int, ...]) -> dict[str, float | None]:
    """Return the recall of proposed boxes as `recall_at_1`, and that of true ones and of whole photos beside it.

    found: ranks [Q] by the names of `BOXES`. `kept_share` is what is left of the true boxes' recall@1.
    """
    told: dict[str, float | None] = {}
    for name in ("proposed", "true", "whole"):
        prefix = "" if name == "proposed" else f"{name}_"
        told |= {f"{prefix}recall_at_{k}": _rounded(value) for k, value in metrics.recall_at(found[name], ks).items()}
    best, mine = told["true_recall_at_1"], told["recall_at_1"]
    return told | {"kept_share": _rounded(mine / best) if mine is not None and best else None}


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
