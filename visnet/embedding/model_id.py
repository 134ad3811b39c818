"""Which model vectors are by: distances between vectors of two models mean nothing, and neither may pass for the other.

Two vectors are by one model when weights, precision and the preparation of the photos are the same.
"""

from visnet.embedding.crop_dataset import PREPARING
from visnet.embedding.embed import Computed

_HALF = "-bf16"


def model_id(weights_digest: str, precision: Computed) -> str:
    """Name the model that weights are in a precision, with photos prepared as they are by this code.

    In fp32, and with photos prepared the first way, that is the weights' own digest.
    """
    prepared = f"-photos{PREPARING}" if PREPARING > 1 else ""
    return f"{weights_digest}{prepared}{_HALF if precision == 'bf16' else ''}"


def precision_of(model: str) -> Computed:
    """Return the precision that a model of `model_id` works in, so that a query is embedded as the catalog was."""
    return "bf16" if model.endswith(_HALF) else "fp32"
