"""What is to be learnt from what, how, and where: everything of a training but how far it has come."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn
from torch.utils.data import Dataset

from visnet.pipeline.log import Log
from visnet.training.batches import Plan, PlannedBatches, Rows
from visnet.training.options import Options
from visnet.zoo import Augment, Loss


@dataclass(frozen=True, eq=False)
class Job:
    """A training of `model` on the rows of `images`; see `fit` for what each is.

    folder: of the checkpoints. rounds_dir: of the mined triplets. fingerprint: of all that the weights depend on.
    """

    model: nn.Module
    images: Dataset[Tensor]
    train: Rows
    validation: Rows
    labels: Rows
    plan: Plan
    options: Options
    loss: Loss
    augment: Augment
    folder: Path
    rounds_dir: Path
    fingerprint: str
    log: Log

    @property
    def batches(self) -> PlannedBatches:
        """The batches of any epoch."""
        return PlannedBatches(self.images, self.labels, self.plan, seed=self.options.seed)

    @property
    def at_once(self) -> int:
        """How many photos are embedded at a time where nothing is learnt."""
        asked = self.options.batches
        return 2 * (asked.triplets or asked.products * asked.photos)
