"""The task of learning an embedding: which triplets, losses and rounds it takes."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.toy import MANNERS, SHAPES, TRAIN, VALIDATION, Diary, options, train
from visnet import zoo
from visnet.training import TripletSet
from visnet.training.embedding_task import reciprocal_ranks, standard_error


def test_bad_triplets_are_refused() -> None:
    def refused(said: str, train_rows: np.ndarray, labels: np.ndarray = SHAPES.labels) -> None:
        with pytest.raises(ValueError, match=said):
            TripletSet(SHAPES, train_rows, VALIDATION, labels)

    refused("there are no training triplets", np.empty((0, 3)))
    refused(r"train triplets are \[5, 2\]; must be \[T, 3\]", np.zeros((5, 2)))
    refused("train triplets name rows 0 to 96; allowed are 0 to 95", np.array([[0, 1, 96]]))
    refused(r"labels are \[3\]; must be \[96\]", TRAIN, np.zeros(3))
    with pytest.raises(ValueError, match="epochs must be at least 1, is 0"):
        options(epochs=0)


def test_a_loss_over_whole_batches_cannot_be_watched_triplet_by_triplet(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"monitor 'validation_loss': proxy_anchor looks at a whole batch"):
        train(tmp_path, loss=zoo.Loss(name="proxy_anchor"), monitor="validation_loss")


def test_a_query_has_the_rank_of_its_first_photo_among_all_of_the_validation() -> None:
    line = torch.tensor([0.0, 1.0, 2.0, 3.0, 5.0, 10.0])[:, None]  # photos on a line, of the products
    labels = torch.tensor([0, 1, 0, 1, 1, 2])
    ranked = partial(reciprocal_ranks, line, labels=labels)
    # 0 finds 1 (another product) before 2 (its own); 3 finds 2, then 1 at the same distance as 4: rank 2
    assert ranked(torch.tensor([[0, 2, 1], [3, 4, 2], [3, 1, 2]])).tolist() == [1 / 2, 1 / 2]
    assert ranked(torch.tensor([[4, 3, 5], [4, 3, 0]])).tolist() == [1.0]
    assert ranked(torch.tensor([[0, 0, 1], [0, 2, 1]])).tolist() == [1 / 2], "a photo does not find itself"
    assert reciprocal_ranks(torch.zeros(6, 2), torch.tensor([[0, 2, 1], [0, 2, 3]]), labels).tolist() == [1 / 3], (
        "a network that maps all photos to one point finds last"
    )


def test_the_error_of_a_mean_is_that_of_its_draws_and_never_none() -> None:
    draws = torch.rand(1000, 400, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 0.2
    told = torch.tensor([standard_error(row) for row in draws[:50]])
    assert told.mean() == pytest.approx(float(draws.mean(1).std()), rel=0.1)
    assert standard_error(torch.ones(98)) == pytest.approx((0.99 * 0.01 / 100) ** 0.5, rel=1e-5)


def test_a_round_whose_triplets_are_gone_is_refused(tmp_path: Path) -> None:
    manner = MANNERS["rounds of mined negatives"]

    class Stopped(Exception):
        pass

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        train(tmp_path, Diary(at_step=14, act=stop), **manner)  # type: ignore[arg-type]
    (tmp_path / "round-001.npy").unlink()
    with pytest.raises(ValueError, match=r"round-001.npy: no such file, .*; delete its checkpoints to begin anew"):
        train(tmp_path, **manner)  # type: ignore[arg-type]
