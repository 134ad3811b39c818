"""No triplets: for a model that learns from none, as a frozen one, in a catalog where nothing could be a pair."""

import numpy as np

from visnet.pipeline.stage import Frozen
from visnet.sampling.sampled import Asked, Sampled


class Params(Frozen):
    """There is nothing to choose."""


def draw(asked: Asked, params: Params) -> Sampled:
    """Return no triplet, and nothing that lacks."""
    return Sampled(np.empty((0, 3), np.int64), np.empty(0, np.int8), ())
