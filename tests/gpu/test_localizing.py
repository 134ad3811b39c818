"""The localizer on a GPU: what it learns, what it finds there and on the CPU, and where boxes go."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.gpu.asked import DEVICE, MARKS, learnt
from visnet import training, zoo
from visnet.training.augment import draw, moved_boxes

pytest.importorskip("pyarrow")  # what opens the table of photos, of which there is none here
pytest.importorskip("timm")

from tests.localizing.toy import SIDE_PX, Rectangles
from visnet.localizing.composites import Cutout
from visnet.localizing.localizer import Localizer
from visnet.localizing.task import AUGMENT, KEPT_MIN, LocalizerTask
from visnet.models.detector import Detector

pytestmark = MARKS
SETTINGS: dict[str, str | int] = {"network": "test_efficientnet", "side_px": SIDE_PX, "frozen_blocks": 0, "width": 32}


def test_a_localizer_learns_and_finds_on_the_gpu_what_it_finds_on_the_cpu(tmp_path: Path) -> None:
    photos = Rectangles(32)
    tasks: list[LocalizerTask] = []

    def train(folder: Path) -> training.Fitted:
        torch.manual_seed(0)
        pieces = [Cutout("another", Image.new("RGBA", (20, 30), "red"))]
        task = LocalizerTask(Detector(**SETTINGS), photos, photos, pieces, batch=16, composites=0.2, seed=3)  # type: ignore[arg-type]
        tasks.append(task)
        options = training.Options(
            epochs=24,
            optimizer=zoo.Optimizer(name="adamw", lr=0.002, clip_norm=5.0, ema_decay=0.8),
            schedule=zoo.Schedule(name="cosine", warmup_epochs=1.0),
            seed=3,
            device=DEVICE,
            precision="fp32",
            checkpoint_every_s=99.0,
        )
        return training.fit(task, options, folder)

    fitted = learnt(train, tmp_path, "validation_ap50", 0.6)
    task, batch = tasks[0], tasks[0].validation[0]
    with torch.inference_mode():
        here = task.predict(fitted.model, batch)
        there = task.predict(fitted.model.to(DEVICE), (batch[0].to(DEVICE), batch[1].to(DEVICE)))
    for ((boxes, scores), _), ((others, other_scores), _) in zip(here, there, strict=True):
        assert scores[0] == pytest.approx(float(other_scores[0]), abs=0.05)
        near = (others - boxes[0]).abs().amax(1).min()
        assert near < 2.0, "in pixels: convolutions on a GPU multiply in TF32"
    proposing = Localizer(fitted.model.cpu(), SETTINGS, 0.0)
    assert len(proposing.propose([Image.new("RGB", (80, 60), "red")])) == 1


def test_boxes_move_with_their_photos_alike() -> None:
    boxes = torch.tensor(
        [[[8.0, 8.0, 40.0, 50.0], [20.0, 4.0, 30.0, 60.0]], [[1.0, 2.0, 33.0, 44.0], [float("nan")] * 4]]
    )
    draws = draw(2, torch.Generator().manual_seed(1))
    one, other = (moved_boxes(boxes.to(to), AUGMENT, draws, SIDE_PX, KEPT_MIN).cpu() for to in ("cpu", DEVICE))
    assert torch.allclose(one, other, atol=0.1, equal_nan=True)
