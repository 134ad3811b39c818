"""What the stage photo_quality is asked for: from how many photos it learns, and how sure its verdicts must be."""

from typing import Literal

from pydantic import Field

from visnet.pipeline.bounds import Packaged
from visnet.pipeline.stage import Frozen, Seed, Share


class QualityRule(Frozen):
    """Whether photos that mislead are looked for, from how many photos that is learnt, and how sure verdicts must be.

    photos, photos_measured: at most so many good photos of the training split, and of validation and test each, have
    faults planted. bad_precision: of what is called bad, and good_precision: of what is called good, the share that is
    rightly called so, in a catalog of which `fault_share` has the fault. unsure_share_max: of the catalog, that a
    person is asked about for one fault; where that is too little, good_precision is given up, and the report says so.
    leave_out_bad: whether bad photos are neither learnt from nor shown; a product's last photo stays.
    zoom_epochs: of the published filter of close-ups, which is only measured beside the rest; 0 trains none.
    """

    enabled: bool = False
    decisions: str = "photo_quality.csv"
    leave_out_bad: bool = False
    network: Packaged = "tf_efficientnet_lite0"
    weights: Literal["package", "none"] = "package"
    photos: int = Field(400, ge=16, le=20_000)
    photos_measured: int = Field(200, ge=6, le=20_000)
    bad_precision: Share = 0.97
    good_precision: Share = 0.99
    fault_share: float = Field(0.05, gt=0, lt=1)
    unsure_share_max: Share = 0.05
    zoom_epochs: int = Field(6, ge=0, le=1000)
    seed: Seed = 1
