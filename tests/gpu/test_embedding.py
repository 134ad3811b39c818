"""Embeddings on a GPU: every loss, every manner of batches, and vectors that are those of the CPU.

Of packages, torch, torchvision and lightning-fabric are enough, and for what is skipped without them timm and
pytorch-metric-learning.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from tests.gpu.asked import DEVICE, MARKS, learnt, noisy
from tests.training import toy
from visnet import training, zoo
from visnet.embedding import embed
from visnet.losses import LOSSES
from visnet.pipeline.log import SILENT
from visnet.training.augment import augment, draw
from visnet.training.rounds import mine

pytestmark = MARKS
OF_LABELS = ("multi_similarity", "nt_xent", "sup_con", "sup_con_proxies", "proxy_anchor", "arcface")
MANNERS: dict[str, dict[str, object]] = {
    **{f"{name} on triplets": {"loss": zoo.Loss(name=name)} for name in LOSSES if name not in OF_LABELS},
    **{
        f"{name} on products": {"loss": zoo.Loss(name=name), "batches": zoo.Batches(products=8, photos=4)}
        for name in OF_LABELS
    },
    **{
        f"{name}, {negatives} negatives": {"loss": zoo.Loss(name=name, parameters={"negatives": negatives})}
        for name in ("sq_hinge", "hinge")
        for negatives in ("batch", "hard", "semi_hard")
    },
    **{
        f"hinge, swap {swap}": {"loss": zoo.Loss(name="hinge", parameters={"swap": swap})}
        for swap in ("nearer", "both")
    },
    "hinge on products": {"batches": zoo.Batches(products=8, photos=4)},
    "averaged weights, two batches a step, clipped": {
        "optimizer": zoo.Optimizer(name="adamw", lr=1e-2, ema_decay=0.8, accumulate=2, clip_norm=5.0, clip_value=1.0)
    },
    "sgd": {"optimizer": zoo.Optimizer(name="sgd", lr=0.1, nesterov=True)},
    "rmsprop": {"optimizer": zoo.Optimizer(name="rmsprop", lr=1e-3, momentum=0.0)},
    "rounds of mined negatives": {"rounds": zoo.Rounds(every_epochs=1, first=2, last=6)},
    "early stopping by accuracy": {"monitor": "validation_triplet_accuracy", "patience": 2},
    "fp32": {"precision": "fp32"},
}


class Shapes(Dataset[Tensor]):
    """Sixty-four photos of sixteen colours: what any network learns in seconds."""

    def __init__(self, side_px: int) -> None:
        colours = torch.randint(0, 256, (16, 3), generator=torch.Generator().manual_seed(0))
        self.labels = np.arange(64) % 16
        self.photos = noisy(colours[torch.from_numpy(self.labels)], side_px)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Tensor:
        return self.photos[index]

    def triplets(self, count: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        q = rng.integers(0, 64, count)
        return np.stack([q, (q + 16) % 64, (q + rng.integers(1, 16, count)) % 64], axis=1)


def test_training_learns_on_the_gpu(tmp_path: Path) -> None:
    photos = Shapes(128)
    entry = dataclasses.replace(
        zoo.entry("mildnet_small_hinge"), side_px=128, epochs=4, batches=zoo.Batches(triplets=32)
    )
    data = training.TripletSet(photos, photos.triplets(512, 1), photos.triplets(64, 2), photos.labels)

    def train(folder: Path) -> training.Fitted:
        task = training.EmbeddingTask.of(entry, zoo.build_model(entry, seed=1), data, seed=1, rounds_dir=folder)
        return training.fit(task, training.Options.of(entry, seed=1, device=DEVICE, interpolate=True), folder)

    fitted = learnt(train, tmp_path, "validation_triplet_accuracy", 0.8)
    assert 0.5 <= fitted.interpolation <= 1.0


@pytest.mark.parametrize("manner", MANNERS)
def test_every_manner_of_training_learns(manner: str, tmp_path: Path) -> None:
    if "products" in manner and "hinge" not in manner:
        pytest.importorskip("pytorch_metric_learning")
    diaries: list[toy.Diary] = []

    def train(folder: Path) -> training.Fitted:
        diaries.append(toy.Diary())
        epochs = 12 if "products" in manner else 4  # of two batches, or of ten
        options: dict[str, object] = {"epochs": epochs, "device": DEVICE, "checkpoint_every_s": 99.0, **MANNERS[manner]}
        return toy.train(folder, diaries[-1], **options)  # type: ignore[arg-type]

    fitted = learnt(train, tmp_path, "validation_triplet_accuracy", 0.65)
    losses = [row["train_loss"] for _, row in diaries[0].rows]
    assert losses[-1] < losses[0]
    one, other = (embedded(fitted.model, toy.SHAPES, device) for device in ("cpu", DEVICE))
    assert agree(one, other)


def test_a_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def die() -> None:
        raise Killed

    manner = toy.MANNERS["averaged weights, two batches a step"]
    with pytest.raises(Killed):
        toy.train(tmp_path, toy.Diary(at_step=14, act=die), device=DEVICE, **manner)  # type: ignore[arg-type]
    resumed = toy.train(tmp_path, device=DEVICE, **manner)  # type: ignore[arg-type]
    assert resumed.resumed_from_epoch == 1
    assert resumed.metrics["validation_triplet_accuracy"] > 0.65
    elsewhere = toy.train(tmp_path, device="cpu", **manner)  # finished: nothing is left to learn
    assert toy.digest(elsewhere) == toy.digest(resumed)


def test_a_round_is_mined_where_the_network_is() -> None:
    torch.manual_seed(0)
    model, data = toy.Tiny().eval(), training.TripletSet(toy.SHAPES, toy.TRAIN, toy.VALIDATION, toy.SHAPES.labels)
    mined = []
    for device in ("cpu", DEVICE):
        rng = np.random.default_rng(1)
        rounds = zoo.Rounds(every_epochs=1, first=1, last=1, share=1.0)
        mined.append(mine(model.to(device), data, rounds, rng, batch=16, workers=0, log=SILENT))
    assert mined[0].mined == mined[1].mined == len(toy.TRAIN)
    same = (mined[0].triplets == mined[1].triplets).mean()
    assert same > 0.9, "half precision may take the second nearest for the nearest"


def test_a_projection_is_fitted_by_the_gpu_and_the_model_is_whole_again() -> None:
    pytest.importorskip("timm")
    architecture = zoo.Architecture(
        kind="timm", parameters={"network": "resnet18", "embedding": 8, "frozen_blocks": -1, "fitted": True}
    )
    entry = dataclasses.replace(zoo.entry("resnet18"), weights="none", architecture=architecture)
    model, photos = zoo.build_model(entry, seed=1), Shapes(64)
    assert training.fit_projection(model, photos, seed=1, batch=16, workers=0, log=SILENT) == 64
    assert {value.device.type for value in model.state_dict().values()} == {"cpu"}
    one, other = (embedded(model, photos, device) for device in ("cpu", DEVICE))
    assert agree(one, other)


def test_a_photo_is_changed_by_its_draws_alike() -> None:
    photos = Shapes(32).photos[:8].float() / 255
    draws = draw(8, torch.Generator().manual_seed(1))
    amounts = dataclasses.replace(
        toy.AUGMENT, zoom=0.2, rotation_deg=20.0, shear_deg=5.0, contrast=0.3, saturation=0.3, erase=0.5
    )
    one, other = (augment(photos.to(device), amounts, draws).cpu() for device in ("cpu", DEVICE))
    assert (one - other).abs().mean() < 0.005  # the GPU may multiply in TF32


@pytest.mark.parametrize("name", ["visnet", "mildnet_mobilenet", "resnet18", "vit_s_16"])
def test_embeddings_on_the_gpu_are_those_of_the_cpu(name: str) -> None:
    entry = dataclasses.replace(zoo.entry(name), weights="none")
    if entry.architecture.kind == "timm":
        pytest.importorskip("timm")
    model = zoo.build_model(entry, seed=1)
    photos = Shapes(entry.side_px)
    photos.photos = photos.photos[:9]
    one, other = (embedded(model, photos, device) for device in ("cpu", DEVICE))
    assert agree(one, other)


def embedded(model: nn.Module, photos: Dataset[Tensor], device: str) -> Tensor:
    """Embed all photos on a device."""
    return torch.cat([vectors for _, vectors in embed.embed(model, photos, batch=4, device=device)])  # type: ignore[arg-type]


def agree(one: Tensor, other: Tensor) -> bool:
    """Tell whether vectors point the same way; the GPU computes in bfloat16."""
    return bool(torch.nn.functional.cosine_similarity(one, other).min() > 0.99)
