"""Models and training on a GPU, where torch, torchvision and lightning-fabric are all that is installed."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from visnet import training, zoo
from visnet.embedding import embed

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


class Shapes(Dataset[torch.Tensor]):
    """Sixty-four photos of sixteen colours: what any network learns in seconds."""

    def __init__(self, side_px: int) -> None:
        generator = torch.Generator().manual_seed(0)
        colour = torch.randint(0, 256, (16, 3, 1, 1), generator=generator)
        noise = torch.randint(-20, 21, (64, 3, side_px, side_px), generator=generator)
        self.labels = np.arange(64) % 16
        self.photos = (colour[torch.from_numpy(self.labels)] + noise).clamp(0, 255).to(torch.uint8)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> torch.Tensor:
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
    task = training.EmbeddingTask.of(entry, zoo.build_model(entry, seed=1), data, seed=1, rounds_dir=tmp_path)
    fitted = training.fit(task, training.Options.of(entry, seed=1, device="cuda"), tmp_path)
    assert fitted.metrics["validation_triplet_accuracy"] > 0.8
    assert next(fitted.model.parameters()).device.type == "cpu"


@pytest.mark.parametrize("name", ["visnet", "mildnet_mobilenet", "resnet18", "vit_s_16"])
def test_embeddings_on_the_gpu_are_those_of_the_cpu(name: str) -> None:
    entry = dataclasses.replace(zoo.entry(name), weights="none")
    if entry.architecture.kind == "timm":
        pytest.importorskip("timm")
    model = zoo.build_model(entry, seed=1)
    photos = Shapes(entry.side_px)
    photos.photos = photos.photos[:9]
    one, other = (
        torch.cat([vectors for _, vectors in embed.embed(model, photos, batch=4, device=device)])  # type: ignore[arg-type]
        for device in ("cpu", "cuda")
    )
    assert torch.nn.functional.cosine_similarity(one, other).min() > 0.99  # the GPU computes in bfloat16
