"""Training: that it learns, and what it says of that."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.training.toy import SHAPES, TRAIN, VALIDATION, Diary, Tiny, train
from visnet.losses import right_order
from visnet.training import Fitted, TripletSet


def test_it_learns(undisturbed: tuple[Fitted, Diary], tmp_path: Path) -> None:
    torch.manual_seed(0)  # as the network that is trained; another begins with up to 0.85
    with torch.inference_mode():
        untrained = right_order(Tiny().eval()(SHAPES.photos / 255.0), torch.from_numpy(VALIDATION)).float().mean()
    fitted = train(tmp_path, epochs=8, checkpoint_every_s=99.0)
    assert fitted.metrics["validation_triplet_accuracy"] >= max(0.8, float(untrained) + 0.05)
    assert fitted.metrics["train_triplet_accuracy"] > undisturbed[0].metrics["train_triplet_accuracy"]
    embeddings = fitted.model(SHAPES.photos / 255.0)  # the figures are those of the weights that came back
    share = right_order(embeddings, torch.from_numpy(VALIDATION)).double().mean().item()
    assert share == pytest.approx(fitted.metrics["validation_triplet_accuracy"], abs=0.02)
    assert not fitted.model.training


def test_the_curve_has_a_row_for_each_epoch_and_one_bar_for_all_steps(undisturbed: tuple[Fitted, Diary]) -> None:
    fitted, log = undisturbed
    assert [step for step, _ in log.rows] == [1, 2, 3]
    measured = {f"validation_{name}" for name in ("loss", "triplet_accuracy", "mrr", "mrr_error")}
    names = {"train_loss", "train_triplet_accuracy", "lr"} | measured
    assert all(set(row) == names for _, row in log.rows)
    assert log.rows[-1][1]["train_loss"] < log.rows[0][1]["train_loss"]
    assert log.total == log.done == 3 * 10  # 150 triplets in batches of at most 16
    assert (fitted.epochs, fitted.stopped_early, fitted.resumed_from_epoch) == (3, False, None)
    peak = max((row for _, row in log.rows), key=lambda row: row["validation_mrr"])  # the first of equals
    least = peak["validation_mrr"] - peak["validation_mrr_error"]
    *_, kept = (row for row in log.rows if row[1]["validation_mrr"] >= least)
    assert (fitted.best_epoch, fitted.metrics) == kept
    assert fitted.images_per_s > 0
    assert fitted.wall_s > 0


def test_it_trains_without_validation(tmp_path: Path) -> None:
    log = Diary()
    alone = TripletSet(SHAPES, TRAIN[:32], np.empty((0, 3), np.int64), SHAPES.labels)
    fitted = train(tmp_path, log, data=alone, epochs=2, patience=1)
    assert fitted.best_epoch == 2
    assert not fitted.stopped_early
    assert set(log.rows[0][1]) == {"train_loss", "train_triplet_accuracy", "lr"}


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


def test_a_compiled_network_learns_the_same(tmp_path: Path) -> None:
    def flat() -> nn.Module:  # compiles in seconds, and has no dropout, whose numbers a compiler draws in its own way
        torch.manual_seed(0)
        return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 8))

    compiled = train(tmp_path, model=flat(), epochs=1, compile=True)
    plain = train(tmp_path / "plain", model=flat(), epochs=1)
    assert compiled.metrics["train_loss"] == pytest.approx(plain.metrics["train_loss"], rel=1e-3)
