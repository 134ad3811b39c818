"""Every entry of the zoo takes two steps of its own training: its network, loss, optimizer, schedule, augmentation.

What is reduced, so that 39 networks of up to 187 million weights fit into a minute and 5 GiB: photos have 64 px and are
twelve, a batch has two triplets or two products with three photos, nothing is dropped out (that noise alone can make an
angular loss 0), and networks begin with random weights (each layer's own distribution, but the numbers are one list of
draws over and over). The steps are the training loop's own, without its checkpoints, validation and rounds, which
training/test_fit.py has.
"""

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from visnet import zoo
from visnet.pipeline.log import SILENT
from visnet.training import Options
from visnet.training.batches import EpochBatches
from visnet.training.checkpoint import Standing
from visnet.training.job import Job
from visnet.training.loop import Loop
from visnet.training.plans import ByProduct, ByTriplet
from visnet.training.signals import StopSignals

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


def loop_of(entry: zoo.Entry, model: nn.Module, folder: Path) -> Loop:
    """Set the training up as `fit` does."""
    options = Options.of(entry, seed=1, device="cpu")
    plan = (
        ByTriplet(TRIPLETS, per_batch=entry.batches.triplets, seed=1)
        if entry.batches.triplets
        else ByProduct(np.arange(12), LABELS, np.zeros(12), products=2, photos=3, seed=1)
    )
    job = Job(
        model=model, images=PHOTOS, train=TRIPLETS, validation=TRIPLETS[:0], labels=LABELS, plan=plan,
        options=options, loss=entry.loss, augment=entry.augment, folder=folder, rounds_dir=folder,
        fingerprint="", log=SILENT,
    )  # fmt: skip
    with SILENT.progress("training", STEPS) as progress:
        return Loop(
            job,
            EpochBatches(job.batches, epoch=0, number=0, workers=0, pin_memory=False),
            dimensions=model.dimensions,  # type: ignore[arg-type]
            standing=Standing(),
            kept=None,
            before_epoch=lambda: None,
            progress=progress,
            signals=StopSignals(),
        )


def some(values: Tensor) -> Tensor:
    """Copy at most 131,072 of the values, spread over all: copies of all of them would fill the memory."""
    return values.detach().flatten()[:: values.numel() // 65_536 | 1].clone()


@pytest.mark.parametrize("name", zoo.names())
def test_two_steps_move_what_trains_and_nothing_else(name: str, tmp_path: Path) -> None:
    entry = reduced(name)
    with RepeatedDraws():
        model = zoo.build_model(entry, seed=1)
    before = {name: some(value) for name, value in model.named_parameters()}
    embeddings: list[Tensor] = []
    model.register_forward_hook(lambda _, __, out: embeddings.append(out.detach()))
    loop = loop_of(entry, model, tmp_path)
    optimizer = loop.configure_optimizers()
    model.train()
    loop.on_train_epoch_start()
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    losses: list[float] = []
    reached: set[str] = set()
    for batch in itertools.islice(loop.train_dataloader(), STEPS):
        optimizer.zero_grad()
        loss = loop.training_step(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.item())
        assert embeddings[-1].shape == (len(batch.photos), model.dimensions)
        assert embeddings[-1].isfinite().all()
        assert float(embeddings[-1].std(0).max()) > 0, "all photos have one embedding"
        grads = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
        reached |= {name for name, grad in grads.items() if some(grad).any()}
        if entry.optimizer.clip_norm:
            nn.utils.clip_grad_norm_(model.parameters(), entry.optimizer.clip_norm)
        optimizer.step()
    assert len(losses) == len(embeddings) == STEPS
    assert all(map(math.isfinite, losses))
    assert losses[0] > 0.0, "a loss of nothing teaches nothing"
    trainable = {name for name, value in model.named_parameters() if value.requires_grad}
    moved = {name for name, value in model.named_parameters() if not torch.equal(some(value), before[name])}
    assert reached == trainable, "weight decay alone moves weights, too"
    assert moved == trainable
