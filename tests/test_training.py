"""Training: that it learns, stops, and goes on after a kill as if nothing had been."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as F

from visnet import weights, zoo
from visnet.losses import right_order
from visnet.training import Fitted, Options, augment, fit, rounds
from visnet.training.augment import draw
from visnet.training.averaging import Average
from visnet.training.batches import EpochBatches, PlannedBatches
from visnet.training.plans import ByProduct, ByTriplet
from visnet.training.schedule import lr_factor, optimizer_of

# Trains in a process where packages of the pipeline are as good as not installed, and kills itself at a step.
KILLED = """
import importlib.abc, importlib.util, os, signal, sys

ABSENT = ("pydantic", "pyarrow", "lance", "mlflow", "dagster", "dvc", "httpx", "orchestration")

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import visnet.embedding
spec = importlib.util.spec_from_file_location("here", sys.argv[1])
here = importlib.util.module_from_spec(spec)
spec.loader.exec_module(here)
from pathlib import Path
kill = here.Diary(at_step=14, act=lambda: os.kill(os.getpid(), signal.SIGKILL))
here.train(Path(sys.argv[2]), kill, **here.MANNERS[sys.argv[3]])
"""

SIDE_PX = 32
PRODUCTS, PHOTOS_EACH = 24, 4


class Shapes(torch.utils.data.Dataset[Tensor]):
    """Products are a shape in a colour; their photos differ in place, size, background and noise."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        y, x = np.mgrid[:SIDE_PX, :SIDE_PX] / SIDE_PX - 0.5
        photos = []
        for product in range(PRODUCTS):
            colour = rng.integers(0, 256, 3)
            for _ in range(PHOTOS_EACH):
                u, v = x - rng.uniform(-0.1, 0.1), y - rng.uniform(-0.1, 0.1)
                size = rng.uniform(0.25, 0.4)
                inside = (np.maximum(abs(u), abs(v)) < size, u * u + v * v < size**2, abs(u) + abs(v) < size)[
                    product % 3
                ]
                photo = np.where(inside[:, :, None], colour, rng.integers(0, 256, 3))
                noisy = (photo + rng.normal(0, 10, photo.shape)).clip(0, 255).astype(np.uint8)
                photos.append(torch.from_numpy(noisy.transpose(2, 0, 1).copy()))
        self.photos = torch.stack(photos)
        self.labels = np.repeat(np.arange(PRODUCTS), PHOTOS_EACH)

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, row: int) -> Tensor:
        return self.photos[row]

    def triplets(self, count: int, products: range) -> np.ndarray:
        rng = np.random.default_rng(len(products))
        rows = []
        for _ in range(count):
            one, other = rng.choice(products, 2, replace=False)
            q, p = rng.choice(PHOTOS_EACH, 2, replace=False) + PHOTOS_EACH * one
            rows.append((q, p, rng.integers(PHOTOS_EACH) + PHOTOS_EACH * other))
        return np.array(rows)


class Tiny(nn.Module):
    """A network small enough for a test, with what makes resuming hard: batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 5, 2, 2), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.1), nn.Linear(128, 16),
        )  # fmt: skip

    def forward(self, photos: Tensor) -> Tensor:
        return nn.functional.normalize(self.body(photos), dim=1)


class Diary:
    """A log that remembers, and may do something at a step."""

    def __init__(self, at_step: int = -1, act: object = None) -> None:
        self.said: list[str] = []
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.total: int | None = None
        self.done = 0
        self.at_step, self.act = at_step, act

    def say(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def progress(self, what: str, total: int | None, *, done: int = 0, unit: str = "it") -> "Iterator[Diary]":
        if what != "training":  # a round embeds and searches, with bars of its own
            yield Diary()
            return
        self.total, self.done = total, done
        yield self

    def advance(self, n: int = 1, **shown: float | str) -> None:
        self.done += n
        if self.done == self.at_step:
            self.act()  # type: ignore[operator]

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        self.rows.append((step, dict(values)))

    def picture(self, image: object, name: str = "") -> None:
        raise AssertionError("training draws nothing")


SHAPES = Shapes()
TRAIN, VALIDATION = SHAPES.triplets(150, range(16)), SHAPES.triplets(60, range(16, 24))
LOSS = zoo.Loss(name="sq_hinge", parameters={"margin": 0.2, "negatives": "batch"})
ADAM = zoo.Optimizer(name="adamw", lr=3e-3, weight_decay=1e-4)
AUGMENT = zoo.Augment(flip=0.5, crop=0.2, brightness=0.1)


def options(**others: object) -> Options:
    said: dict[str, object] = {
        "epochs": 3,
        "batches": zoo.Batches(triplets=16),
        "optimizer": ADAM,
        "schedule": zoo.Schedule(name="cosine", warmup_epochs=0.5),
        "seed": 7,
        "device": "cpu",
        "checkpoint_every_s": 0.0,  # after every step
    }
    return Options(**{**said, **others})  # type: ignore[arg-type]


# Every manner of training must go on after a kill as if nothing had been.
MANNERS: dict[str, dict[str, object]] = {
    "plain": {},
    "averaged weights, two batches a step": {
        "optimizer": zoo.Optimizer(name="adamw", lr=3e-3, weight_decay=1e-4, ema_decay=0.9, accumulate=2)
    },
    "rounds of mined negatives": {"rounds": zoo.Rounds(every_epochs=1, first=2, last=6, share=0.5)},
    "products, and a loss that learns": {
        "batches": zoo.Batches(products=4, photos=2),
        "loss": zoo.Loss(name="proxy_anchor"),
    },
}


def train(
    folder: Path, log: Diary | None = None, model: nn.Module | None = None, loss: zoo.Loss = LOSS, **others: object
) -> Fitted:
    torch.set_num_threads(1)  # sums of another number of threads are other sums
    if model is None:
        torch.manual_seed(0)
        model = Tiny()
    chosen = options(**others)
    return fit(
        model, SHAPES, TRAIN, VALIDATION, labels=SHAPES.labels, options=chosen, loss=loss, augment=AUGMENT,
        checkpoint_dir=folder, log=log or Diary(),
    )  # fmt: skip


def digest(fitted: Fitted) -> str:
    return weights.digest(fitted.model.state_dict())


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fitted, Diary]:
    log = Diary()
    return train(tmp_path_factory.mktemp("undisturbed"), log), log


def test_it_learns(undisturbed: tuple[Fitted, Diary], tmp_path: Path) -> None:
    with torch.inference_mode():
        untrained = right_order(Tiny().eval()(SHAPES.photos / 255.0), torch.from_numpy(VALIDATION)).float().mean()
    fitted = train(tmp_path, epochs=8, checkpoint_every_s=99.0)
    assert fitted.validation_triplet_accuracy is not None
    assert fitted.validation_triplet_accuracy >= max(0.8, float(untrained) + 0.05)
    assert fitted.train_triplet_accuracy > undisturbed[0].train_triplet_accuracy
    embeddings = fitted.model(SHAPES.photos / 255.0)  # the figures are those of the weights that came back
    share = right_order(embeddings, torch.from_numpy(VALIDATION)).double().mean().item()
    assert share == pytest.approx(fitted.validation_triplet_accuracy, abs=0.02)
    assert not fitted.model.training


def test_the_curve_has_a_row_for_each_epoch_and_one_bar_for_all_steps(undisturbed: tuple[Fitted, Diary]) -> None:
    fitted, log = undisturbed
    assert [step for step, _ in log.rows] == [1, 2, 3]
    names = {"train_loss", "train_triplet_accuracy", "validation_loss", "validation_triplet_accuracy", "lr"}
    assert all(set(row) == names for _, row in log.rows)
    assert log.rows[-1][1]["train_loss"] < log.rows[0][1]["train_loss"]
    assert log.total == log.done == 3 * 10  # 150 triplets in batches of at most 16
    assert (fitted.epochs, fitted.stopped_early, fitted.resumed_from_epoch) == (3, False, None)
    best = max(log.rows, key=lambda row: row[1]["validation_triplet_accuracy"])  # the first of equals
    assert (fitted.best_epoch, fitted.validation_loss) == (best[0], best[1]["validation_loss"])
    assert fitted.images_per_s > 0
    assert fitted.wall_s > 0


@pytest.mark.parametrize("manner", MANNERS)
def test_killed_and_resumed_it_ends_with_the_same_weights(manner: str, tmp_path: Path) -> None:
    whole = Diary()
    undisturbed = train(tmp_path / "undisturbed", whole, **MANNERS[manner])  # type: ignore[arg-type]
    tmp_path = tmp_path / "killed"
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", KILLED, __file__, str(tmp_path), manner]
    where = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    killed = subprocess.run(command, env=where, capture_output=True, text=True, timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stderr == ""  # and without the packages that a bare GPU machine lacks
    assert (tmp_path / "last.ckpt").is_file()
    (tmp_path / ".last.ckpt.building").write_bytes(b"cut short")  # what a kill during a write leaves
    log = Diary()
    resumed = train(tmp_path, log, **MANNERS[manner])  # type: ignore[arg-type]
    assert resumed.resumed_from_epoch in (1, 2)
    assert log.total == log.done == whole.total
    assert resumed.epochs == 3
    assert digest(resumed) == digest(undisturbed)
    assert log.rows == whole.rows  # the rows of epochs before the kill are said again


def test_asked_again_a_finished_training_does_nothing(undisturbed: tuple[Fitted, Diary], tmp_path: Path) -> None:
    first = train(tmp_path, epochs=1)
    log = Diary()
    again = train(tmp_path, log, epochs=1)
    assert digest(again) == digest(first)
    assert log.total is None
    assert len(log.rows) == 1
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["best-0001.safetensors", "last.ckpt"]
    other = Diary()
    train(tmp_path, other, epochs=1, seed=8)
    assert "is of other triplets or settings: training begins anew" in other.said[0]
    (tmp_path / "last.ckpt").write_bytes(b"no checkpoint")
    third = Diary()
    assert digest(train(tmp_path, third, epochs=1)) == digest(first)
    assert "cannot be read" in third.said[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_checkpoint_and_is_raised_again(
    number: signal.Signals, undisturbed: tuple[Fitted, Diary], tmp_path: Path
) -> None:
    class Asked(Exception):
        pass

    def handler(*_: object) -> None:
        raise Asked

    before = signal.signal(number, handler)
    try:
        log = Diary(at_step=16, act=lambda: os.kill(os.getpid(), number))
        with pytest.raises(Asked):
            train(tmp_path, log, checkpoint_every_s=99.0)
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
    assert log.done == 16
    log = Diary()
    assert digest(train(tmp_path, log)) == digest(undisturbed[0])
    assert "after 1 epochs and 6 steps" in log.said[0]


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    class Breaking(Tiny):
        calls = 0

        def forward(self, photos: Tensor) -> Tensor:
            self.calls += self.training
            return super().forward(photos) * (float("nan") if self.calls == 13 else 1.0)

    torch.manual_seed(0)
    with pytest.raises(
        ValueError,
        match=r"training loss is nan at epoch 2, step 3 of 10, a batch of the photos \d+, .*: training stopped",
    ) as caught:
        train(tmp_path, model=Breaking())
    assert "\n" not in str(caught.value)
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert (kept["standing"]["epoch"], kept["standing"]["batch"]) == (1, 2)
    assert all(bool(torch.isfinite(value).all()) for value in kept["model"].values())


def test_a_step_that_explodes_is_not_kept(tmp_path: Path) -> None:
    wild = zoo.Optimizer(name="sgd", lr=1e6, momentum=0.99)

    class Bare(Tiny):
        def forward(self, photos: Tensor) -> Tensor:
            return self.body(photos) * 1e12

    torch.manual_seed(0)
    with pytest.raises(ValueError, match=r"(training loss|weight '.*') is (nan|inf) at epoch 1, step \d+ of 10"):
        train(tmp_path, model=Bare(), optimizer=wild, schedule=zoo.Schedule())
    if (tmp_path / "last.ckpt").exists():
        kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
        assert all(bool(torch.isfinite(value).all()) for value in kept["model"].values())


def test_it_stops_when_nothing_gets_better(tmp_path: Path) -> None:
    class Still(Tiny):
        def forward(self, photos: Tensor) -> Tensor:
            self.body.eval()
            return super().forward(photos)

    still = zoo.Optimizer(name="sgd", lr=1e-30, momentum=0.0)
    log = Diary()
    fitted = train(
        tmp_path, log, model=Still(), optimizer=still, epochs=9, patience=2, monitor="validation_triplet_accuracy"
    )
    assert (fitted.epochs, fitted.best_epoch, fitted.stopped_early) == (3, 1, True)
    assert len(log.rows) == 3
    assert train(tmp_path, model=Still(), optimizer=still, epochs=9, patience=2,
                 monitor="validation_triplet_accuracy").stopped_early  # fmt: skip


def test_it_trains_without_validation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    log = Diary()
    fitted = fit(
        Tiny(), SHAPES, TRAIN[:32], np.empty((0, 3), np.int64), labels=SHAPES.labels, options=options(epochs=2),
        loss=LOSS, augment=zoo.Augment(), checkpoint_dir=tmp_path, log=log,
    )  # fmt: skip
    assert fitted.best_epoch == 2
    assert fitted.validation_loss is None
    assert set(log.rows[0][1]) == {"train_loss", "train_triplet_accuracy", "lr"}


def test_bad_triplets_are_refused(tmp_path: Path) -> None:
    def refused(said: str, train_rows: np.ndarray, labels: np.ndarray = SHAPES.labels) -> None:
        with pytest.raises(ValueError, match=said):
            fit(
                Tiny(), SHAPES, train_rows, VALIDATION, labels=labels, options=options(), loss=LOSS,
                augment=AUGMENT, checkpoint_dir=tmp_path,
            )  # fmt: skip

    refused("there are no training triplets", np.empty((0, 3)))
    refused(r"train triplets are \[5, 2\]; must be \[T, 3\]", np.zeros((5, 2)))
    refused("train triplets name rows 0 to 96; allowed are 0 to 95", np.array([[0, 1, 96]]))
    refused(r"labels are \[3\]; must be \[96\]", TRAIN, np.zeros(3))
    with pytest.raises(ValueError, match="epochs must be at least 1, is 0"):
        options(epochs=0)


# --- the parts -------------------------------------------------------------------------------------------------------


def batches() -> PlannedBatches:
    return PlannedBatches(SHAPES, SHAPES.labels, ByTriplet(TRAIN, per_batch=16, seed=7), seed=7)


def test_an_epoch_has_every_triplet_once_and_a_batch_every_photo_once() -> None:
    plain = batches()
    for epoch in (0, 1):
        seen = []
        for number in range(plain.plan.batches):
            batch = plain[epoch, number]
            assert len(batch.photos) == len({photo.numpy().tobytes() for photo in batch.photos})
            assert 14 <= len(batch.triplets) <= 16
            for rows in batch.triplets.tolist():
                found = [int((SHAPES.photos == batch.photos[row]).all((1, 2, 3)).nonzero()) for row in rows]
                assert [SHAPES.labels[row] for row in found] == batch.labels[rows].tolist()
                seen.append(tuple(found))
        assert sorted(seen) == sorted(map(tuple, TRAIN.tolist()))
    assert not torch.equal(plain[0, 0].labels[:5], plain[1, 0].labels[:5])


def test_a_batch_is_the_same_whoever_reads_it_and_when() -> None:
    there = batches()[1, 3]
    fresh = batches()
    fresh[0, 0], fresh[1, 2]
    here = fresh[1, 3]
    for one, other in zip(there, here, strict=True):
        assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))
    rest = EpochBatches(batches(), epoch=1, number=3, workers=1, pin_memory=False)
    assert len(rest) == 7
    read = list(rest)
    assert [batch.number for batch in read] == list(range(3, 10))
    assert torch.equal(read[0].photos, there.photos)


def test_processes_share_an_epoch_evenly() -> None:
    shares = [
        [
            batch.number
            for batch in EpochBatches(batches(), epoch=0, number=3, workers=0, pin_memory=False, rank=rank, ranks=3)
        ]
        for rank in range(3)
    ]
    assert shares == [[3, 6], [4, 7], [5, 8]]  # of ten batches the last is nobody's


def test_batches_of_products_take_every_product_as_often_and_both_sides() -> None:
    photos = np.array([5, 2, 9, 1, 4, 7, 3])  # product 3 has one photo, and is left out
    labels = np.repeat(np.arange(7), photos)
    street = np.concatenate([np.arange(count) > 0 for count in photos])  # each product's first photo is the shop's
    plan = ByProduct(np.arange(len(labels)), labels, street, products=4, photos=3, seed=5)
    assert plan.batches == round(30 / 12)
    counts = np.zeros(7, int)
    for epoch in range(30):
        for number in range(plan.batches):
            rows, triplets = plan.rows(epoch, number)
            assert len(set(rows.tolist())) == len(rows)
            there, sizes = np.unique(labels[rows], return_counts=True)
            assert len(there) == 4
            assert sizes.tolist() == np.minimum(photos[there], 3).tolist()
            assert all((~street[rows[labels[rows] == product]]).sum() == 1 for product in there)
            q, p, n = triplets.T
            assert len(triplets) == (sizes * (sizes - 1)).sum() == len({(a, b) for a, b, _ in triplets.tolist()})
            assert (q != p).all()
            assert (labels[rows[q]] == labels[rows[p]]).all()
            assert (labels[rows[q]] != labels[rows[n]]).all()
            counts[there] += 1
    assert counts[3] == 0
    assert np.ptp(np.delete(counts, 3)) <= 30  # at most once an epoch more than another
    again = ByProduct(np.arange(len(labels)), labels, street, products=4, photos=3, seed=5).rows(29, 1)
    assert all(np.array_equal(a, b) for a, b in zip(again, plan.rows(29, 1), strict=True))
    with pytest.raises(ValueError, match=r"2 products with 2 photos each, and there are 1; .* alike = 'colour'"):
        ByProduct(np.arange(6), np.array([0, 0, 1, 2, 3, 4]), street, products=4, photos=3, seed=5)


def test_augmentation_does_what_each_amount_says() -> None:
    photos = SHAPES.photos[:20] / 255.0

    def drawn(seed: int = 0, **amounts: object) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return augment(photos, zoo.Augment(**amounts), draw(len(photos), generator))  # type: ignore[arg-type]

    assert torch.equal(drawn(), photos)
    torch.testing.assert_close(drawn(flip=1.0), photos.flip(3))
    torch.testing.assert_close(drawn(flip_vertical=1.0), photos.flip(2))
    some = drawn(flip=0.5)
    kept = [torch.allclose(a, b, atol=1e-5) for a, b in zip(some, photos, strict=True)]
    assert 3 < sum(kept) < 17
    assert all(keep or torch.allclose(a, b.flip(2), atol=1e-5) for keep, a, b in zip(kept, some, photos, strict=True))
    for name in ("crop", "zoom", "brightness", "contrast", "saturation", "rotation_deg", "shear_deg", "erase"):
        amount = 20.0 if name.endswith("deg") else 0.5
        changed = drawn(**{name: amount})
        assert changed.shape == photos.shape
        assert -1e-6 <= float(changed.min()) <= float(changed.max()) <= 1.0 + 1e-6
        assert not torch.equal(changed, photos), name
        assert torch.equal(changed, drawn(**{name: amount})), name
        assert not torch.equal(changed, drawn(seed=1, **{name: amount})), name
    flipped_and_lit = drawn(flip=0.5, brightness=0.2)
    lit = drawn(brightness=0.2)
    for at, keep in enumerate(kept):  # one amount does not shift what another draws
        torch.testing.assert_close(flipped_and_lit[at], lit[at] if keep else lit[at].flip(2))


def test_colours_change_as_torchvision_changes_them() -> None:
    photos = (
        SHAPES.photos[:6] / 255.0 * 0.4 + 0.3
    )  # far from black and white, where clamping once or thrice is the same
    draws = draw(6, torch.Generator().manual_seed(3))
    ours = augment(photos, zoo.Augment(brightness=0.2, contrast=0.3, saturation=0.4), draws)
    for photo, row, mine in zip(photos, (2 * draws - 1).tolist(), ours, strict=True):
        theirs = F.adjust_brightness(photo, 1 + 0.2 * row[9])
        theirs = F.adjust_contrast(theirs, 1 + 0.3 * row[10])
        torch.testing.assert_close(mine, F.adjust_saturation(theirs, 1 + 0.4 * row[11]), atol=2e-4, rtol=0)


def test_geometry_changes_as_torchvision_changes_it() -> None:
    smooth = F.gaussian_blur(SHAPES.photos[:6] / 255.0, [9, 9])
    draws = draw(6, torch.Generator().manual_seed(3))
    middle = (slice(None), slice(8, 24), slice(8, 24))  # outside, the two fill what is missing in other ways
    turned = augment(smooth, zoo.Augment(rotation_deg=30.0), draws)
    sheared = augment(smooth, zoo.Augment(shear_deg=15.0), draws)
    cropped = augment(smooth, zoo.Augment(crop=0.5), draws)
    still = {"translate": [0, 0], "interpolation": F.InterpolationMode.BILINEAR}
    for at, row in enumerate((2 * draws - 1).tolist()):
        theirs = F.rotate(smooth[at], -30 * row[7], interpolation=F.InterpolationMode.BILINEAR)
        near = {"atol": 0.02, "rtol": 0.0}
        turned_here = min(
            float((turned[at][middle] - other[middle]).abs().max())
            for other in (theirs, F.rotate(smooth[at], 30 * row[7], interpolation=F.InterpolationMode.BILINEAR))
        )
        assert turned_here < near["atol"]
        slanted = [
            F.affine(smooth[at], angle=0, scale=1.0, shear=[sign * 15 * row[8], 0], **still) for sign in (-1.0, 1.0)
        ]
        assert min(float((sheared[at][middle] - other[middle]).abs().max()) for other in slanted) < near["atol"]
        kept_px = SIDE_PX * (1 - 0.5 * float(draws[at, 2])) ** 0.5
        left, top = ((SIDE_PX - kept_px) * float(draws[at, column]) for column in (3, 4))
        box = [round(top), round(left), round(kept_px), round(kept_px)]
        whole = F.resized_crop(smooth[at], *box, size=[SIDE_PX, SIDE_PX], antialias=False)
        assert (cropped[at] - whole).abs().mean() < 0.02  # their box ends at whole pixels


def test_what_lies_outside_is_the_edge_drawn_out_or_the_mean_colour() -> None:
    photo = torch.zeros(1, 3, 8, 8)
    photo[:, 0] = 1.0
    photo[:, :, 2:6, 2:6] = 0.0
    draws = torch.full((1, 17), 0.5)
    draws[0, 5:7] = 0.0  # zoomed out by half
    edge = augment(photo, zoo.Augment(zoom=0.5, fill="edge"), draws)
    mean = augment(photo, zoo.Augment(zoom=0.5, fill="mean"), draws)
    assert edge[0, :, 0, 0].tolist() == [1.0, 0.0, 0.0]
    assert mean[0, :, 0, 0].tolist() == pytest.approx([0.75, 0.0, 0.0])


def test_a_mined_round_takes_the_asked_band_of_the_nearest_products(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Tiny().eval()
    asked = zoo.Rounds(every_epochs=1, first=3, last=5, share=0.5)
    made = rounds.mine(
        model,
        SHAPES,
        TRAIN,
        SHAPES.labels,
        asked,
        np.random.default_rng(1),
        batch=8,
        device="cpu",
        workers=0,
        log=Diary(),
    )
    assert np.array_equal(made.triplets[:, :2], TRAIN[:, :2])
    changed = (made.triplets[:, 2] != TRAIN[:, 2]).mean()
    assert 0.3 < changed < 0.6
    with torch.inference_mode():
        embeddings = model(SHAPES.photos / 255.0).double()
    photos = np.unique(TRAIN)
    wrong, ranks = 0, set()
    for before, (q, p, n) in zip(TRAIN, made.triplets, strict=True):
        if n == before[2]:
            continue
        sq = (embeddings[photos] - embeddings[q]).square().sum(1)
        best: dict[int, tuple[float, int]] = {}
        for photo, distance in zip(photos.tolist(), sq.tolist(), strict=True):
            product = int(SHAPES.labels[photo])
            if product != SHAPES.labels[q]:
                best[product] = min(best.get(product, (9e9, 0)), (distance, photo))
        order = [photo for _, photo in sorted(best.values())]
        assert n in order[2:5]
        ranks.add(order.index(n) + 1)
        wrong += bool((embeddings[q] - embeddings[n]).norm() <= (embeddings[q] - embeddings[p]).norm())
    assert ranks == {3, 4, 5}
    assert abs(made.wrong - wrong) <= 3  # of those whose negative stayed the same by chance
    none = rounds.mine(
        model, SHAPES, TRAIN, SHAPES.labels, zoo.Rounds(every_epochs=1, first=16, last=50), np.random.default_rng(1),
        batch=8, device="cpu", workers=0, log=Diary(),
    )  # fmt: skip
    assert none.mined == 0  # there are 16 products to train on: a query has fifteen others
    assert np.array_equal(none.triplets, TRAIN)


def test_frozen_norms_keep_their_statistics(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Tiny()
    for layer in model.body[:2]:
        layer.requires_grad_(False)
    fitted = train(tmp_path, model=model, epochs=1)
    frozen, moved = fitted.model.body[1], fitted.model.body[4]  # type: ignore[index]
    assert torch.equal(frozen.running_mean, torch.zeros(16))
    assert frozen.num_batches_tracked == 0
    assert moved.num_batches_tracked == 10


def test_averaged_weights_are_the_running_mean() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = Average(model, 0.5)
    expected = None
    for step, value in enumerate([4.0, 8.0, 6.0, 1.0]):
        with torch.no_grad():
            model.weight.fill_(value)
        average.update()
        weight = 1 - min(0.5, (1 + step) / (10 + step))
        expected = value if expected is None else expected + (value - expected) * weight
    assert average.model.weight.item() == pytest.approx(expected)
    assert Average(model, 0.0).model is model


def test_a_loss_over_whole_batches_cannot_be_watched_triplet_by_triplet(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"monitor 'validation_loss': proxy_anchor looks at a whole batch"):
        train(tmp_path, loss=zoo.Loss(name="proxy_anchor"), monitor="validation_loss")


def test_a_compiled_network_learns_the_same(tmp_path: Path) -> None:
    def flat() -> nn.Module:  # compiles in seconds, and has no dropout, whose numbers a compiler draws in its own way
        torch.manual_seed(0)
        return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 8))

    compiled = train(tmp_path, model=flat(), epochs=1, compile=True)
    plain = train(tmp_path / "plain", model=flat(), epochs=1)
    assert compiled.train_loss == pytest.approx(plain.train_loss, rel=1e-3)


TWO = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("here", sys.argv[1])
here = importlib.util.module_from_spec(spec)
spec.loader.exec_module(here)
fitted = here.train(Path(sys.argv[2]), devices=2, epochs=2)
print(fitted.epochs, fitted.photos, fitted.validation_triplet_accuracy, sep=" ")
"""


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(TWO)
    where = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script), __file__, str(tmp_path / "run")],
        env=where, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.strip()]  # one process speaks
    epochs, photos, accuracy = line.split()
    assert epochs == "2"
    assert int(photos) > 0
    assert float(accuracy) > 0.5


def test_the_learning_rate_follows_its_schedule() -> None:
    step = zoo.Schedule(name="step", step_epochs=5, factor=0.1)
    assert [lr_factor(step, epoch, 30) for epoch in (0, 4.99, 5, 12)] == pytest.approx([1, 1, 0.1, 0.01])
    cosine = zoo.Schedule(name="cosine", warmup_epochs=1.0)
    values = [lr_factor(cosine, epoch, 5) for epoch in (0, 0.5, 1, 3, 5)]
    assert values == pytest.approx([0, 0.5, 1, 0.5, 0], abs=2e-3)
    assert lr_factor(zoo.Schedule(), 3.0, 5) == 1.0


def test_biases_have_their_own_rate_and_no_decay() -> None:
    chosen = zoo.Optimizer(name="sgd", lr=0.2, momentum=0.9, nesterov=True, weight_decay=0.01, bias_lr_factor=2.0)
    model = Tiny()
    groups = optimizer_of(model, chosen).param_groups
    assert [(g["base_lr"], g["weight_decay"], g["nesterov"]) for g in groups] == [
        (0.2, 0.01, True), (0.2, 0.0, True), (0.4, 0.0, True),
    ]  # fmt: skip
    names = {id(value): name for name, value in model.named_parameters()}
    assert [sorted(names[id(p)] for p in g["params"]) for g in groups] == [
        ["body.0.weight", "body.3.weight", "body.9.weight"],
        ["body.1.weight", "body.4.weight"],
        ["body.0.bias", "body.1.bias", "body.3.bias", "body.4.bias", "body.9.bias"],
    ]
