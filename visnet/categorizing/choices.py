"""What can be chosen of models of category paths; imports nothing that takes time."""

from typing import Literal

from pydantic import Field

from visnet.categorizing.files import Head
from visnet.pipeline.bounds import BATCH_MAX, EPOCHS_MAX, LR_MAX, SIDES_PX, Packaged
from visnet.pipeline.stage import Frozen, Seed, Share, Workers

ENLARGED = 8 / 7  # what is answered, to what is learnt from, where nothing is said of it


class PathModels(Frozen):
    """Which models are trained, and how.

    models: "attention" is the decoder of Atlas, "leaves" a classifier over all paths, "levels" the same with a loss on
    every level. Of those that validation's photos cannot tell from the best, the first one answers. network: the
    trunk, whose first `frozen_blocks` blocks do not learn. side_px: of the photos learnt from; answer_side_px: of those
    that are answered; if None a seventh larger, since what is cut out of a photo to learn from is drawn larger, too
    (Touvron, Vedaldi, Douze and Jégou, "Fixing the train-test resolution discrepancy", NeurIPS 2019). balance: 0 takes
    each photo once an epoch, 1 each path as often as any other. validation: "apart" takes whole groups of products that
    look alike out of all that do not test, as many as the crops' own has; "crops" takes that one, for a source whose
    validation is of another place. precision: how many of the answers to validation's photos are to be right; one that
    is not sure enough stops at the parent, or says nothing.
    """

    models: list[Head] = Field(default=["levels", "leaves", "attention"], min_length=1)
    network: Packaged | Literal["resnet101"] = "tf_efficientnet_lite0"
    weights: Literal["package", "imagenet", "none"] = "package"
    frozen_blocks: int = Field(9, ge=0, le=64)
    side_px: int = Field(224, ge=SIDES_PX[0], le=SIDES_PX[1])
    answer_side_px: int | None = Field(None, ge=SIDES_PX[0], le=SIDES_PX[1])
    epochs: int = Field(6, ge=1, le=EPOCHS_MAX)
    patience: int = Field(0, ge=0, le=EPOCHS_MAX)
    batch: int = Field(32, ge=2, le=BATCH_MAX)
    lr: float = Field(0.002, gt=0, le=LR_MAX)
    balance: Share = 0.5
    validation: Literal["apart", "crops"] = "apart"
    precision: Share = 0.95
    workers: Workers = 0
    seed: Seed = 1

    @property
    def answered_px(self) -> int:
        """The side of a photo that is answered."""
        return self.answer_side_px or round(self.side_px * ENLARGED)
