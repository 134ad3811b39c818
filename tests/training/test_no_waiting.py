"""A step of training asks a GPU for nothing, and copies nothing there: the host prepares the next batch meanwhile.

Shown with tensors that only say which device they would be on; what needs a value of one raises.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.training.toy import Shapes, Tiny
from visnet import losses, zoo
from visnet.models.colours import Colours
from visnet.models.inputs import constant
from visnet.training import EmbeddingTask, TripletSet
from visnet.training.batches import Batch
from visnet.training.sums import Sums


class Copies(TorchDispatchMode):
    """Lists what is called with a tensor of the host and gives one of the GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        devices = [
            {value.device.type for value in tree_leaves(values) if isinstance(value, torch.Tensor)}
            for values in ((args, kwargs), out)
        ]
        if "cpu" in devices[0] | devices[1] and "cuda" in devices[0] | devices[1]:
            self.found.append(str(function))
        return out


@pytest.mark.parametrize("loss", sorted(losses.PER_TRIPLET | {"n_pair_angular"}))
def test_a_step_neither_waits_nor_copies(loss: str, tmp_path: Path) -> None:
    photos = Shapes()
    data = TripletSet(photos, photos.triplets(32, range(12)), photos.triplets(4, range(12, 24)), photos.labels)
    amounts = zoo.Augment(flip=0.5, flip_vertical=0.5, crop=0.3, brightness=0.2, contrast=0.2, erase=0.5)
    task = EmbeddingTask(
        Tiny(), data, batches=zoo.Batches(triplets=8), loss=zoo.Loss(name=loss), augment=amounts, rounds=zoo.Rounds(),
        rounds_dir=tmp_path, seed=1, monitor="validation_triplet_accuracy",
    )  # fmt: skip
    batch = task.batches[0, 0]
    with FakeTensorMode():
        with torch.device("cuda"):
            network = Tiny()
            on_gpu = Batch(*(torch.empty(part.shape, dtype=part.dtype) for part in batch))
        sums = Sums({"loss": 0.0, "triplet_accuracy": 0.0, "size": 0.0}, torch.device("cuda"))
        with Copies() as copies:
            for number in (0, 1):
                sums.add(task.step(network, on_gpu), number)
    assert copies.found == []


def test_nor_does_a_network_that_looks_at_colours() -> None:
    with FakeTensorMode():
        with torch.device("cuda"):
            colours, photos = Colours(8), torch.empty(2, 3, 96, 96)
        with Copies() as copies:
            assert colours(photos).device.type == "cuda"
    assert copies.found == []


def test_a_copy_and_a_wait_would_be_seen() -> None:
    with FakeTensorMode():
        value = torch.empty(3, device="cuda")
        with Copies() as copies:
            _ = value * torch.tensor([1.0, 2.0, 3.0]).to("cuda")
        assert copies.found
        with pytest.raises(DataDependentOutputException):
            value.sum().item()


def test_constants_are_made_where_they_are_needed() -> None:
    beside = torch.zeros(1, dtype=torch.float64)
    assert constant((0.25, 3.0), beside).tolist() == [0.25, 3.0]
    assert constant((0.25,), beside).dtype == torch.float64
