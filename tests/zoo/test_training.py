"""Every entry of the zoo takes two steps of its own training: its network, loss, optimizer, schedule, augmentation.

What is reduced, so that 49 networks of up to 187 million weights fit into two minutes and 5 GiB: photos have 64 px and
are twelve, a batch has two triplets or two products with three photos, nothing is dropped out (that noise alone can
make an angular loss 0), and networks begin with random weights (each layer's own distribution, but the numbers are one
list of draws over and over; the blocks of DINO count in full, as once trained, where they begin at 1e-5). The steps are
the training loop's own, without its checkpoints, validation and rounds, which tests/training has.
"""

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from visnet import zoo
from visnet.models import eval_frozen
from visnet.training import EmbeddingTask, Options, TripletSet
from visnet.training.batches import Batch
from visnet.training.processes import fabric_of
from visnet.training.updates import Updates

SIDE_PX = 64
STEPS = 2
LABELS = np.repeat(np.arange(4), 3)
TRIPLETS = np.array([(3 * own, 3 * own + 1, 3 * other + 2) for own in range(4) for other in range(4) if other != own])


class Photos(torch.utils.data.Dataset[Tensor]):
    """Four products of three photos: a red one, a blue one, and a reddish one.

    A triplet's negative is the reddish photo of another product, between its query and its positive, and no loss is
    content with that, whatever its margin.
    """

    def __init__(self) -> None:
        draws = torch.Generator().manual_seed(0)
        colours = torch.tensor([[140, 90, 100], [100, 90, 140], [128, 90, 112]]).repeat(4, 1)
        noise = torch.randint(-4, 5, (12, 3, SIDE_PX, SIDE_PX), generator=draws)
        self.photos = (colours[:, :, None, None] + noise).to(torch.uint8)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, row: int) -> Tensor:
        return self.photos[row]


PHOTOS = Photos()


class RepeatedDraws(TorchDispatchMode):
    """Let tensors be filled with 65,537 draws over and over: to draw each number takes a minute for the whole zoo."""

    def __init__(self) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(0)
        self.normal = torch.randn(65_537, generator=draws)
        self.uniform = torch.rand(65_537, generator=draws)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.normal_.default:
            return self._fill(self.normal, args[0], *args[1:], **kwargs or {})
        if func is torch.ops.aten.uniform_.default:
            low, high = (*args[1:], *(0.0, 1.0)[len(args) - 1 :])
            return self._fill(self.uniform, args[0], low, high - low)
        return func(*args, **kwargs or {})

    def _fill(self, draws: Tensor, filled: Tensor, start: float = 0.0, scale: float = 1.0, **_: object) -> Tensor:
        flat = filled.view(-1)
        whole = len(flat) // len(draws) * len(draws)
        drawn = draws * scale + start
        flat[:whole].view(-1, len(draws)).copy_(drawn)
        flat[whole:].copy_(drawn[: len(flat) - whole])
        return filled


pytestmark = pytest.mark.usefixtures("one_thread")


def reduced(name: str) -> zoo.Entry:
    entry = zoo.entry(name)
    batches = zoo.Batches(triplets=2) if entry.batches.triplets else zoo.Batches(products=2, photos=3)
    return dataclasses.replace(entry, side_px=SIDE_PX, weights="none", batches=batches)


def updates_of(entry: zoo.Entry, model: nn.Module, folder: Path) -> Updates[Batch]:
    """Set the steps of a training up as `fit` does."""
    data = TripletSet(PHOTOS, TRIPLETS, TRIPLETS[:0], LABELS)
    task = EmbeddingTask.of(entry, model, data, seed=1, rounds_dir=folder)
    options = Options.of(entry, seed=1, device="cpu")
    return Updates(task, options, fabric_of(options), task.batches.per_epoch)


def some(values: Tensor) -> Tensor:
    """Copy at most 131,072 of the values, spread over all: copies of all of them would fill the memory."""
    return values.detach().flatten()[:: values.numel() // 65_536 | 1].clone()


@pytest.mark.parametrize("name", zoo.names())
def test_two_steps_move_what_trains_and_nothing_else(name: str, tmp_path: Path) -> None:
    entry = reduced(name)
    with RepeatedDraws():
        model = zoo.build_model(entry, seed=1)
    for part, value in model.named_parameters():
        if re.search(r"blocks\.\d+\.(ls[12]\.gamma|gamma_[12])$", part):
            nn.init.ones_(value)
    before = {name: some(value) for name, value in model.named_parameters()}
    updates = updates_of(entry, model, tmp_path)
    embeddings: list[Tensor] = []
    model.register_forward_hook(lambda _, __, out: embeddings.append(out.detach()))
    model.train()
    eval_frozen(model)
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    losses: list[float] = []
    reached: set[str] = set()
    for number in range(STEPS):
        batch = updates.task.batches[0, number]
        losses.append(updates.make(0, number, batch, done=number, first=True, last=True).loss.item())
        assert embeddings[-1].shape == (len(batch.photos), model.dimensions)
        assert embeddings[-1].isfinite().all()
        assert float(embeddings[-1].std(0).max()) > 0, "all photos have one embedding"
        grads = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
        reached |= {name for name, grad in grads.items() if some(grad).any()}
    assert len(losses) == len(embeddings) == STEPS
    assert all(map(math.isfinite, losses))
    assert losses[0] > 0.0, "a loss of nothing teaches nothing"
    trainable = {name for name, value in model.named_parameters() if value.requires_grad}
    moved = {name for name, value in model.named_parameters() if not torch.equal(some(value), before[name])}
    assert reached == trainable, "weight decay alone moves weights, too"
    assert moved == trainable
