"""Rounds of hard negatives: at the start of each, the network as it is says which photos look too much alike."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from visnet.embedding.embed import Device, embed
from visnet.models.inputs import stack
from visnet.pipeline.log import Log
from visnet.search.mining import hardest_negatives
from visnet.storage import atomic
from visnet.training.batches import Rows
from visnet.training.triplet_set import TripletSet
from visnet.zoo import Rounds


@dataclass(frozen=True)
class Mined:
    """The triplets of a round [T, 3], how many have a mined negative, and how many of these were in the wrong order."""

    triplets: Rows
    mined: int
    wrong: int


def mine(
    model: nn.Module,
    data: TripletSet,
    rounds: Rounds,
    rng: np.random.Generator,
    *,
    batch: int,
    workers: int,
    log: Log,
) -> Mined:
    """Give a share of the training triplets another negative: one of the query's nearest products of their photos.

    Of the products nearest to the query, each by its nearest photo, one of the ranks `first` to `last` is drawn; a
    training set with fewer products has fewer ranks, and with `first` products or less there is nothing to mine. The
    other triplets keep their negatives, and every triplet its query and positive. `model` embeds on the device where
    it is.
    """
    triplets = data.train
    photos, places = np.unique(triplets, return_inverse=True)
    places = places.reshape(-1, 3)
    device: Device = "cuda" if next(model.parameters()).is_cuda else "cpu"
    found = embed(model, _Some(data.images, photos), batch=batch, device=device, workers=workers, log=log)
    embeddings = torch.cat([vectors for _, vectors in found])
    queries, of_query = np.unique(places[:, 0], return_inverse=True)
    near = hardest_negatives(embeddings, data.labels[photos], rounds.last, anchors=queries, log=log).row.cpu().numpy()
    band = (near >= 0).sum(1)[of_query] - (rounds.first - 1)
    chosen = (rng.random(len(triplets)) < rounds.share) & (band > 0)
    rank = rounds.first - 1 + (rng.random(len(triplets)) * np.maximum(band, 1)).astype(np.int64)
    negative = near[of_query, np.minimum(rank, near.shape[1] - 1)]
    query, positive, other = (embeddings[column[chosen]] for column in (*places.T[:2], negative))
    wrong = (query - positive).square().sum(1) >= (query - other).square().sum(1)
    made = triplets.copy()
    made[chosen, 2] = photos[negative[chosen]]
    return Mined(made, int(chosen.sum()), int(wrong.sum()))


def round_of(epoch: int, rounds: Rounds) -> int:
    """Count the rounds that have begun by an epoch; 0 is the time before the first, or there are none."""
    return epoch // rounds.every_epochs if rounds.every_epochs else 0


def load(path: Path) -> Rows:
    """Read the triplets [T, 3] of the round in which a training is resumed; `ValueError` when they are gone."""
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file, though the training goes on in that round; delete its checkpoints to begin anew"
        )
    triplets: Rows = np.load(path, allow_pickle=False)
    return triplets


def save(path: Path, triplets: Rows) -> None:
    """Write the triplets of a round in one step."""
    with atomic.writing(path) as building, building.open("wb") as file:
        np.save(file, triplets, allow_pickle=False)


class _Some(Dataset[Tensor]):
    """Some rows of a dataset, read many at a time where it can."""

    def __init__(self, images: Dataset[Tensor], rows: Rows) -> None:
        self._images, self._rows = images, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> Tensor:
        return self._images[int(self._rows[place])]

    def __getitems__(self, places: list[int]) -> Tensor:
        return stack(self._images, self._rows[places].tolist())
