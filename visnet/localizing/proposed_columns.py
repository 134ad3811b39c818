"""The columns of what was proposed, and how well it was found; imports nothing that takes time."""

from visnet.evaluation.boxes import BOXES
from visnet.localizing.columns import COLUMNS
from visnet.photos.cutting import BOX

PROPOSED_COLUMNS = [*COLUMNS, "score", *(f"proposed_{side}" for side in BOX), *(f"rank_{name}" for name in BOXES)]
