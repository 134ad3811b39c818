"""What learns: features and statistics of pictures, the regressions on them, the published filter."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from tests.quality.photos import noise, product
from visnet.quality import head
from visnet.quality.features import AT_ONCE, PhotoFeatures
from visnet.quality.statistics import NAMES, statistics
from visnet.quality.zoom_filter import PARAMETERS, SIDE_PX, ZoomFilter, ZoomTask, squares


def test_a_photo_s_features_depend_on_no_other() -> None:
    look = PhotoFeatures("tf_efficientnet_lite0", "none", "a test")
    photos = [product(seed, (120 + 9 * seed, 100)) for seed in range(AT_ONCE + 1)]
    together, alone = look(photos), np.concatenate([look([photo]) for photo in photos])
    assert (together == alone).all()
    assert together.shape == (len(photos), look.width)
    assert np.isfinite(together).all()
    assert look([]).shape == (0, look.width)


def test_statistics_see_blurs_and_seams_and_take_any_size() -> None:
    sharp, soft = (
        dict(zip(NAMES, statistics(one), strict=True)) for one in (noise(), noise().filter(ImageFilter.GaussianBlur(4)))
    )
    assert soft["laplacian"] < sharp["laplacian"]
    assert soft["flat"] > sharp["flat"]
    halves = Image.new("RGB", (160, 160), "white")
    halves.paste((0, 0, 0), (80, 0, 160, 160))
    seen = dict(zip(NAMES, statistics(halves), strict=True))
    assert (seen["seam_across"], seen["seam_down"]) == (1.0, 0.0)
    for size in ((1, 1), (2, 160), (3, 3), (900, 20)):
        assert np.isfinite(statistics(Image.new("RGB", size, "red"))).all()


def test_a_regression_finds_its_fault_among_good_photos_and_other_faults() -> None:
    rng = np.random.default_rng(0)
    kinds = ["", "blurred", "collage"] * 40
    features = rng.normal(size=(len(kinds), 6)).astype(np.float16)
    for at, kind in enumerate(kinds):
        features[at, 0] += 6 * (kind == "blurred")
        features[at, 1] += 6 * (kind == "collage")
    fitted = head.fit(features, kinds, ["blurred", "collage"])
    found = fitted.scores(features)
    kind = np.array(kinds)
    for at, fault in enumerate(("blurred", "collage")):
        assert found[kind == fault, at].min() > found[kind != fault, at].mean()
        assert ((found[:, at] > 0.5) == (kind == fault)).mean() > 0.9
    again = head.fit(features, kinds, ["blurred", "collage"])
    assert all(torch.equal(a, b) for a, b in zip(fitted.tensors().values(), again.tensors().values(), strict=True))
    flat = head.fit(np.zeros((4, 2), np.float16), ["", "blurred"] * 2, ["blurred"])
    assert flat.scores(np.zeros((1, 2), np.float16)) == pytest.approx(0.5, abs=1e-6)


def test_the_zoom_filter_is_the_published_one() -> None:
    model = ZoomFilter().eval()
    assert sum(one.numel() for one in model.parameters()) == PARAMETERS == 1_212_513
    sizes = [tuple(one.shape) for one in model.parameters()]
    assert sizes[0::2] == [(32, 3, 3, 3), (32, 32, 3, 3), (64, 32, 3, 3), (64, 18_496), (1, 64)]
    photos = squares([product(1), noise()])
    assert photos.shape == (2, 3, SIDE_PX, SIDE_PX)
    assert (model.scores(photos)[1:] == model.scores(photos[1:])).all()
    assert model.scores(squares([])).shape == (0,)


def test_a_step_of_the_zoom_filter_is_of_binary_cross_entropy(one_thread: None) -> None:
    photos = squares([product(seed) for seed in range(4)])
    zoomed = torch.tensor([True, False, True, False])
    task = ZoomTask((photos, zoomed), (photos, zoomed), batch=2, seed=1)
    assert (task.batches.per_epoch, len(task.validation)) == (2, 2)
    rows = [task.batches[0, number] for number in range(2)]
    assert sorted(int(flag) for _, _, flags in rows for flag in flags) == [0, 0, 1, 1]
    task.model.eval()
    step = task.step(task.model, rows[0])
    assert (step.size, step.photos) == (2, 2)
    assert step.loss.item() == pytest.approx(np.log(2), abs=0.3)
    found = task.metrics([(torch.tensor([3.0, -1.0, 2.0]), torch.tensor([True, False, False]))])
    assert found == {"accuracy": 0.75}
