"""Triplet samplers: which (query, positive, negative) crops a model learns from."""

from visnet.sampling import metadata, street2shop
from visnet.sampling.crops import SPLITS, Crops
from visnet.sampling.sampled import Sampled

SAMPLERS = {
    "metadata": metadata.sample,
    "street2shop": street2shop.sample,
}

__all__ = ["SAMPLERS", "SPLITS", "Crops", "Sampled"]
