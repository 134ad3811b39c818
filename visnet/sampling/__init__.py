"""Triplet samplers: which (query, positive, negative) crops a model learns from.

Every sampler module has
    class Params(Frozen), all with a default: its table `[triplets.NAME]`
    def draw(asked: Asked, params: Params) -> Sampled
"""

from types import ModuleType

from visnet.sampling import biss, importance, metadata, street2shop
from visnet.sampling.crops import SPLITS, Crops
from visnet.sampling.sampled import Asked, Looks, Sampled
from visnet.sampling.scorers import SCORERS

SAMPLERS: dict[str, ModuleType] = {
    "street2shop": street2shop,
    "metadata": metadata,
    "biss": biss,
    "importance": importance,
}

__all__ = ["SAMPLERS", "SCORERS", "SPLITS", "Asked", "Crops", "Looks", "Sampled"]
