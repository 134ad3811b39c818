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

from visnet import weights, zoo
from visnet.losses import right_order
from visnet.training import Fitted, Options, augment, fit
from visnet.training.batches import EpochBatches, TripletBatches
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
here.train(Path(sys.argv[2]), here.Diary(at_step=14, act=lambda: os.kill(os.getpid(), signal.SIGKILL)))
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
        "batch_triplets": 16,
        "optimizer": ADAM,
        "schedule": zoo.Schedule(name="cosine", warmup_epochs=0.5),
        "seed": 7,
        "device": "cpu",
        "checkpoint_every_s": 0.0,  # after every step
    }
    return Options(**{**said, **others})  # type: ignore[arg-type]


def train(folder: Path, log: Diary | None = None, model: nn.Module | None = None, **others: object) -> Fitted:
    torch.set_num_threads(1)  # sums of another number of threads are other sums
    if model is None:
        torch.manual_seed(0)
        model = Tiny()
    chosen = options(**others)
    return fit(
        model, SHAPES, TRAIN, VALIDATION, labels=SHAPES.labels, options=chosen, loss=LOSS, augment=AUGMENT,
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


def test_killed_and_resumed_it_ends_with_the_same_weights(undisturbed: tuple[Fitted, Diary], tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", KILLED, __file__, str(tmp_path)]
    where = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    killed = subprocess.run(command, env=where, capture_output=True, text=True, timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stderr == ""  # and without the packages that a bare GPU machine lacks
    assert (tmp_path / "last.ckpt").is_file()
    (tmp_path / ".last.ckpt.building").write_bytes(b"cut short")  # what a kill during a write leaves
    log = Diary()
    resumed = train(tmp_path, log)
    assert resumed.resumed_from_epoch == 1
    assert log.total == log.done == 30
    assert resumed.epochs == 3
    assert digest(resumed) == digest(undisturbed[0])
    assert log.rows == undisturbed[1].rows  # the rows of epochs before the kill are said again


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
    with pytest.raises(ValueError, match=r"training loss is nan at epoch 2, step 3 of 10: training stopped") as caught:
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


def batches(amounts: zoo.Augment = AUGMENT) -> TripletBatches:
    return TripletBatches(SHAPES, TRAIN, SHAPES.labels, batch_triplets=16, seed=7, amounts=amounts)


def test_an_epoch_has_every_triplet_once_and_a_batch_every_photo_once() -> None:
    plain = batches(zoo.Augment())
    for epoch in (0, 1):
        seen = []
        for number in range(plain.batches):
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
    assert torch.equal(there.photos, here.photos)
    assert torch.equal(there.triplets, here.triplets)
    rest = EpochBatches(batches(), epoch=1, number=3, workers=1, pin_memory=False)
    assert len(rest) == 7
    read = list(rest)
    assert [batch.number for batch in read] == list(range(3, 10))
    assert torch.equal(read[0].photos, there.photos)


def test_augmentation_does_what_each_amount_says() -> None:
    photos = SHAPES.photos[:20]

    def drawn(seed: int = 0, **amounts: float) -> Tensor:
        return augment(photos, zoo.Augment(**amounts), torch.Generator().manual_seed(seed))

    assert torch.equal(drawn(), photos)
    assert torch.equal(drawn(flip=1.0), photos.flip(3))
    some = drawn(flip=0.5)
    kept = [torch.equal(a, b) for a, b in zip(some, photos, strict=True)]
    assert 3 < sum(kept) < 17
    assert all(keep or torch.equal(a, b.flip(2)) for keep, a, b in zip(kept, some, photos, strict=True))
    for name in ("crop", "brightness", "contrast", "saturation"):
        changed = drawn(**{name: 0.3})
        assert changed.shape == photos.shape
        assert changed.dtype == torch.uint8
        assert not torch.equal(changed, photos), name
        assert torch.equal(changed, drawn(**{name: 0.3})), name
        assert not torch.equal(changed, drawn(seed=1, **{name: 0.3})), name
    turned = drawn(rotation_deg=20.0)
    assert 5 < (turned.float() - photos.float()).abs().mean() < 80
    flipped_and_lit = drawn(flip=0.5, brightness=0.2)
    again = drawn(flip=0.5)
    mirrored = [not torch.equal(a, b) for a, b in zip(again, photos, strict=True)]
    lit = drawn(brightness=0.2)
    for at, mirror in enumerate(mirrored):  # one amount does not shift what another draws
        assert torch.equal(flipped_and_lit[at], lit[at].flip(2) if mirror else lit[at])


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
