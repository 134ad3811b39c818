"""Put torchvision's tensors, by their own names, into a part of a network."""

from collections.abc import Mapping

from torch import Tensor, nn


def take(model: nn.Module, state: Mapping[str, Tensor], places: Mapping[str, str], network: str) -> None:
    """Give a model the tensors of `state`; `places` maps each name in the model to its name there.

    All must be there and of the model's shapes; what `state` has beyond them is ignored, as a classifier is. Counters
    of batches seen may be missing: torchvision's older files have none. `ValueError` says that it is no `network`.
    """
    own = model.state_dict()
    found = {ours: state[theirs].to(own[ours].dtype) for ours, theirs in places.items() if theirs in state}
    wanted = [theirs for theirs in places.values() if not theirs.endswith("num_batches_tracked")]
    if missing := sorted(theirs for theirs in wanted if theirs not in state):
        raise ValueError(f"no {network}: {len(missing)} of its {len(wanted)} tensors are missing, first {missing[0]!r}")
    for ours, value in found.items():
        if value.shape != own[ours].shape:
            raise ValueError(f"no {network}: {places[ours]!r} is {list(value.shape)}, must be {list(own[ours].shape)}")
    model.load_state_dict(found, strict=False, assign=True)
