"""Train a weight-shared network on triplets: `fit` resumes, stops early, and gives back the best weights."""

from visnet.training.augment import augment
from visnet.training.fitting import fit
from visnet.training.options import Fitted, Options

__all__ = ["Fitted", "Options", "augment", "fit"]
