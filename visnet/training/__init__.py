"""Train a task (what is learnt, from what) by one loop: `fit` resumes, stops early, and gives back the best weights."""

from visnet.training.augment import augment
from visnet.training.embedding_task import EmbeddingTask
from visnet.training.fitting import fit
from visnet.training.options import Fitted, Options
from visnet.training.projection import fit_projection
from visnet.training.task import Monitor, Step, Task, TrainingBatches, ValidationBatches
from visnet.training.triplet_set import TripletSet

__all__ = [
    "EmbeddingTask",
    "Fitted",
    "Monitor",
    "Options",
    "Step",
    "Task",
    "TrainingBatches",
    "TripletSet",
    "ValidationBatches",
    "augment",
    "fit",
    "fit_projection",
]
