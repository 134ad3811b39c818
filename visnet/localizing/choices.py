"""What can be chosen of a localizer; imports nothing that takes time."""

from typing import Literal

from pydantic import Field

from visnet.pipeline.bounds import BATCH_MAX, EPOCHS_MAX, LR_MAX, Packaged
from visnet.pipeline.stage import Frozen, Seed, Share, Workers


class LocalizerChoices(Frozen):
    """How a localizer is trained: boxes come from the source, and from composites of training products.

    side_px: of the square that a photo is fitted into, a multiple of 32. composites: the share of the training photos
    into which another product is pasted.
    """

    network: Packaged = "tf_efficientnet_lite0"
    weights: Literal["package", "none"] = "package"
    side_px: int = Field(160, ge=64, le=640, multiple_of=32)
    composites: Share = 0.3
    epochs: int = Field(12, ge=1, le=EPOCHS_MAX)
    batch: int = Field(16, ge=2, le=BATCH_MAX)
    lr: float = Field(0.002, gt=0, le=LR_MAX)
    workers: Workers = 0
    seed: Seed = 1
