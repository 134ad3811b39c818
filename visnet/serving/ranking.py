"""What answers a photo: the rows of a ranking, and what is said of each."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Hit:
    """A product that answers a photo, by its nearest shop photo.

    sq_distance: of unit vectors, in 0..4. probability: how probable it is, in 0..1, that the photo shows this product,
    if the catalog has it (see `visnet.evaluation.calibration`); None where the model has no calibration.
    """

    product_id: str
    crop_id: str
    category: str
    colour: str
    sq_distance: float
    probability: float | None = None


@dataclass(frozen=True, eq=False)
class Ranking:
    """The products that answer a photo, nearest first, and exactly these: none that is nearer was left out.

    row: the nearest photo of each, [N] int64 into what the searcher has `said`. sq_distance: [N] float32. probability:
    [N] float64, None where the model has no calibration. in_catalog: how probable it is, in 0..1, that the photo's
    product is among all that may answer; None where that is not known.
    """

    row: np.ndarray
    sq_distance: np.ndarray
    probability: np.ndarray | None
    in_catalog: float | None = None
