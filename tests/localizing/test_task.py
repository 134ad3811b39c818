"""A detector learns eight pictures by heart; what a batch holds depends on its epoch and number alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.localizing.toy import SIDE_PX, Rectangles
from tests.training.toy import Diary
from visnet import zoo
from visnet.localizing.composites import Cutout
from visnet.localizing.localizer import Localizer
from visnet.localizing.task import EMPTY, BoxBatches, LocalizerTask
from visnet.models.detector import Detector
from visnet.models.pretrained import load_pretrained
from visnet.training import Fitted, Options, fit

pytestmark = pytest.mark.usefixtures("one_thread")
SETTINGS = {"network": "tf_efficientnet_lite0", "side_px": SIDE_PX, "frozen_blocks": 6, "width": 32}


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fitted, Diary]:
    """A detector that has seen eight pictures for a while, and the log of it."""
    torch.set_num_threads(1)
    photos, log = Rectangles(8), Diary()
    torch.manual_seed(0)
    model = Detector(**SETTINGS)
    load_pretrained(model, "package", "toy")
    task = LocalizerTask(model, photos, photos, [], batch=8, composites=0.0, seed=3)
    options = Options(
        epochs=10,
        optimizer=zoo.Optimizer(name="adamw", lr=0.005, clip_norm=5.0),
        schedule=zoo.Schedule(name="cosine", warmup_epochs=1.0),
        seed=3,
        device="cpu",
        precision="fp32",
        checkpoint_every_s=99.0,
    )
    torch.seed()
    return fit(task, options, tmp_path_factory.mktemp("localizer"), log), log


def test_eight_pictures_are_learnt_by_heart(learnt: tuple[Fitted, Diary]) -> None:
    fitted, log = learnt
    assert log.rows[-1][1]["train_box_loss"] < 0.7 * log.rows[0][1]["train_box_loss"]
    assert fitted.metrics["validation_ap50"] == 1.0


def test_a_batch_depends_on_its_epoch_and_number_alone() -> None:
    pieces = [Cutout("other", Image.new("RGBA", (20, 30), "lime"))]
    one, other = (BoxBatches(Rectangles(7), pieces, batch=4, composites=0.5, seed=3) for _ in range(2))
    assert one.per_epoch == 2
    other[0, 0]  # whatever was asked for before
    torch.seed()
    for epoch, number in ((0, 0), (1, 1)):
        for part, again in zip(one[epoch, number], other[epoch, number], strict=True):
            assert torch.equal(part.nan_to_num(-1.0), again.nan_to_num(-1.0))
    assert not torch.equal(one[0, 0].photos, one[1, 0].photos)
    shown = [name for number in range(2) for name in one.described(0, number).split(", ")[:-1]]
    assert len({name.removeprefix("the photos ") for name in shown}) == 7, "every photo once an epoch"


def test_no_product_is_pasted_beside_itself() -> None:
    own = [Cutout(str(number), Image.new("RGBA", (20, 30), "lime")) for number in range(1)]
    batch = BoxBatches(Rectangles(1), own, batch=1, composites=1.0, seed=3)[0, 0]
    assert torch.equal(batch.photos[0], Rectangles(1)[0].pixels)


def test_some_photos_are_shown_without_their_product() -> None:
    batches = BoxBatches(Rectangles(7), [], batch=7, composites=0.0, seed=3)
    empty = torch.cat([batches[epoch, 0].boxes.isnan().all(2).all(1) for epoch in range(40)])
    assert empty.double().mean() == pytest.approx(EMPTY, abs=0.07)


def test_a_localizer_on_disk_proposes_in_pixels_of_the_photo(learnt: tuple[Fitted, Diary], tmp_path: Path) -> None:
    localizer = Localizer(learnt[0].model, SETTINGS, 0.2)
    localizer.save(tmp_path)
    loaded = Localizer.load(tmp_path)
    assert (loaded.unsure_below, loaded.side_px) == (0.2, SIDE_PX)
    photos = Rectangles(8)
    wide = [Image.fromarray(one.pixels.permute(1, 2, 0).numpy()).resize((640, 640)) for one in photos.made]
    found = loaded.propose(wide, batch=3)
    for (proposal, *others), box in zip(found, photos.boxes, strict=True):
        assert [one.score for one in others] == sorted((one.score for one in others), reverse=True)
        assert all(0.2 <= one.score <= proposal.score for one in others)
        assert proposal.box == pytest.approx(box[0] * 10, abs=160)
        assert 0.2 <= proposal.score <= 1.0
    assert loaded.propose(wide[3:5], batch=3) == found[3:5], "a photo's box is the same in whatever company it comes"


def test_of_a_photo_without_a_product_the_localizer_is_unsure(learnt: tuple[Fitted, Diary]) -> None:
    photos, rng = Rectangles(8), np.random.default_rng(9)
    noise = Image.fromarray(rng.integers(60, 120, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8))
    lowest = Localizer(learnt[0].model, SETTINGS, 0.0)
    score = min(found[0].score for found in lowest.propose([_picture(photos, row) for row in range(8)]))
    assert Localizer(learnt[0].model, SETTINGS, score).propose([noise]) == [[]]


def _picture(photos: Rectangles, row: int) -> Image.Image:
    return Image.fromarray(photos[row].pixels.permute(1, 2, 0).numpy())
