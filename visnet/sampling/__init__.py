"""Triplet samplers: which (query, positive, negative) crops a model learns from."""

from visnet.sampling import biss, importance, metadata, street2shop
from visnet.sampling.crops import SPLITS, Crops
from visnet.sampling.sampled import Sampled
from visnet.sampling.scorers import SCORERS

SAMPLERS = {
    "metadata": metadata.sample,
    "street2shop": street2shop.sample,
    "biss": biss.sample,
    "importance": importance.sample,
}

__all__ = ["SAMPLERS", "SCORERS", "SPLITS", "Crops", "Sampled"]
