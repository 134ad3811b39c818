"""What learns to see faulty photos, where there is a GPU."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ImageFilter

from tests.gpu.asked import DEVICE, MARKS, learnt
from tests.quality.photos import product
from visnet import training, zoo

pytest.importorskip("pyarrow")  # what opens the table of crops, of which there is none here
pytest.importorskip("sklearn")
pytest.importorskip("timm")

from visnet.models.inputs import as_floats
from visnet.quality import head
from visnet.quality.features import PhotoFeatures
from visnet.quality.zoom_filter import ZoomFilter, ZoomTask, squares

pytestmark = MARKS


def test_the_zoom_filter_learns_and_tells_close_ups_on_the_gpu_as_on_the_cpu(tmp_path: Path) -> None:
    whole = [product(seed) for seed in range(48)]
    photos = squares([*whole, *(one.crop((60, 50, 100, 90)) for one in whole)])
    zoomed = torch.arange(len(photos)) >= len(whole)

    def train(folder: Path) -> training.Fitted:
        task = ZoomTask((photos, zoomed), (photos, zoomed), batch=16, seed=1)
        options = training.Options(
            epochs=6,
            optimizer=zoo.Optimizer(name="rmsprop", lr=0.0007, momentum=0.0),
            schedule=zoo.Schedule(name="cosine"),
            seed=1,
            device=DEVICE,
            precision="fp32",
            checkpoint_every_s=99.0,
        )
        return training.fit(task, options, folder)

    model = learnt(train, tmp_path, "validation_accuracy", 0.9).model
    assert isinstance(model, ZoomFilter)
    here = model.scores(photos)
    assert ((here >= 0.5) == zoomed.numpy()).mean() >= 0.9
    with torch.inference_mode():
        there = torch.sigmoid(model.to(DEVICE)(as_floats(photos.to(DEVICE)))).cpu().numpy()
    assert np.abs(here - there).max() < 0.05


def test_features_of_photos_are_the_cpu_s_and_tell_a_fault() -> None:
    sharp = [product(seed) for seed in range(24)]
    photos = [*sharp, *(one.filter(ImageFilter.GaussianBlur(3)) for one in sharp)]
    kinds = ["" if at < len(sharp) else "blurred" for at in range(len(photos))]
    seen = PhotoFeatures("tf_efficientnet_lite0", "none", "a test")(photos)
    fitted = head.fit(seen[::2], kinds[::2], ["blurred"])
    right = (fitted.scores(seen[1::2])[:, 0] > 0.5) == (np.array(kinds[1::2]) == "blurred")
    assert right.mean() >= 0.8
