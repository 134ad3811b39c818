"""Learning an embedding: one network for all photos of a triplet, queries near their positives, far from negatives."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from visnet.losses import right_order
from visnet.models.inputs import PhotoBatches, as_floats, stack
from visnet.pipeline.log import Log
from visnet.training import rounds
from visnet.training.augment import augment
from visnet.training.batches import Batch, Plan, PlannedBatches, step_seed
from visnet.training.plans import ByTriplet
from visnet.training.task import Monitor, Step
from visnet.training.triplet_set import TripletSet
from visnet.zoo import Augment, Batches, Entry, Loss, Rounds

Monitored = Literal["validation_loss", "validation_triplet_accuracy", "validation_mrr"]
_MEASURED_AT_ONCE = 4096  # validation triplets
_RANKED_MAX, _RANKED_AT_ONCE = 4096, 256  # queries


class EmbeddingTask:
    """Train `model` on triplets: each distinct photo of a batch is augmented and embedded once.

    Before the epochs that begin a round, negatives are mined anew, and the round's triplets kept in `rounds_dir`. A
    validation measures loss and triplet accuracy over the validation triplets, each with its own negative, and the mean
    reciprocal rank (MRR) of their queries among all their other photos.
    `ValueError` for a loss that has no value for one triplet, where that is to be monitored.
    """

    def __init__(
        self,
        model: nn.Module,
        data: TripletSet,
        *,
        batches: Batches,
        loss: Loss,
        augment: Augment,
        rounds: Rounds,
        rounds_dir: Path,
        seed: int,
        # A loss falls to its margin's noise, and the share of triplets in order comes near to 1, while ranks improve.
        monitor: Monitored = "validation_mrr",
    ) -> None:
        given = loss.on_given_triplets()
        if monitor == "validation_loss" and given is None:
            raise ValueError(
                f"monitor 'validation_loss': {loss.name} looks at a whole batch and has no value for one triplet; "
                "allowed are 'validation_triplet_accuracy' and 'validation_mrr'"
            )
        self.model, self.data, self.augment = model, data, augment
        self.rounds, self.rounds_dir, self.seed = rounds, rounds_dir, seed
        error = "validation_mrr_error" if monitor == "validation_mrr" else None
        self.monitor = Monitor(monitor, more_is_better=monitor != "validation_loss", error=error)
        self._settings = [asdict(part) for part in (batches, loss, augment, rounds)]
        self._triplets_per_batch, self._round = batches.triplets, 0
        self._at_once = 2 * (batches.triplets or batches.products * batches.photos)  # photos, where nothing is learnt
        self.batches = self._planned(data.plan(batches, seed))
        photos, places = np.unique(data.validation, return_inverse=True)
        self.validation = PhotoBatches(data.images, photos.tolist(), self._at_once)
        self._validation = torch.from_numpy(places.reshape(-1, 3).astype(np.int64))
        self._validation_labels = torch.from_numpy(data.labels[photos])
        classes, dimensions = int(data.labels.max(initial=-1)) + 1, _dimensions(model, data.images)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(step_seed(seed, 0, 0) ^ 2)  # of what the loss itself learns
            self.loss = loss.function(classes, dimensions)
        self._validation_loss = given and given.function(classes, dimensions)

    @classmethod
    def of(cls, entry: Entry, model: nn.Module, data: TripletSet, **others: Any) -> "EmbeddingTask":
        """Take what an entry of the zoo says about batches, loss, augmentation and rounds; `others` win over it."""
        own = {name: getattr(entry, name) for name in ("batches", "loss", "augment", "rounds")}
        return cls(model, data, **{**own, **others})

    @property
    def loss_module(self) -> nn.Module | None:
        """The proxies of a loss that has some."""
        return self.loss if isinstance(self.loss, nn.Module) else None

    def fingerprint(self) -> Iterator[bytes]:
        """Return the settings, the seed and the data."""
        yield repr((self.seed, self.monitor, self._settings)).encode()
        yield from self.data.fingerprint()

    def before_epoch(self, epoch: int, batch: int, *, rank: int, workers: int, log: Log) -> None:
        """Bring the triplets of the round that an epoch is of: mined where it begins, else read again."""
        number = rounds.round_of(epoch, self.rounds)
        begins = number > 0 and epoch % self.rounds.every_epochs == 0 and batch == 0
        if number == 0 or (number == self._round and not begins):
            return
        path = self.rounds_dir / f"round-{number:03d}.npy"
        if begins:
            found = rounds.mine(
                self.model, self.data, self.rounds, np.random.default_rng([self.seed, number, 17]),
                batch=self._at_once, workers=workers, log=log,
            )  # fmt: skip
            log.say(f"  round {number}: {found.mined} negatives mined, {found.wrong} of them nearer than the positive")
            if rank == 0:
                rounds.save(path, found.triplets)
            triplets = found.triplets
        else:
            triplets = rounds.load(path)
        self._round = number
        self.batches = self._planned(ByTriplet(triplets, per_batch=self._triplets_per_batch, seed=self.seed))

    def step(self, model: nn.Module, batch: Batch) -> Step:
        """Return the mean loss of a batch, and how many of its triplets are in the right order."""
        device = batch.photos.device.type
        with torch.autocast(device, enabled=False):
            photos = augment(as_floats(batch.photos), self.augment, batch.draws)
        embeddings = model(photos.contiguous(memory_format=torch.channels_last)).float()
        with torch.autocast(device, enabled=False):
            loss = self.loss(embeddings, batch.triplets, batch.labels).mean()
            right = right_order(embeddings.detach(), batch.triplets)
        return Step(loss, len(right), {"triplet_accuracy": right.sum()}, len(batch.photos))

    def predict(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Embed some of the validation's distinct photos."""
        embeddings: Tensor = model(as_floats(batch[1], channels_last=True))
        return embeddings.float().cpu()

    def metrics(self, predictions: Sequence[Tensor]) -> dict[str, float]:
        """Measure loss (of those that have one for a triplet), triplet accuracy, and MRR with its standard error."""
        embeddings, count = torch.cat(list(predictions)), len(self._validation)
        chunks = torch.split(self._validation, _MEASURED_AT_ONCE)
        measured = {}
        if loss := self._validation_loss:
            losses = [loss(embeddings, chunk, self._validation_labels).double().sum().item() for chunk in chunks]
            measured["loss"] = sum(losses) / count
        right = sum(int(right_order(embeddings, chunk).sum()) for chunk in chunks)
        found = reciprocal_ranks(embeddings, self._validation, self._validation_labels)
        return measured | {
            "triplet_accuracy": right / count,
            "mrr": found.mean().item(),
            "mrr_error": standard_error(found),
        }

    def _planned(self, plan: Plan) -> PlannedBatches:
        return PlannedBatches(self.data.images, self.data.labels, plan, seed=self.seed)


def reciprocal_ranks(embeddings: Tensor, triplets: Tensor, labels: Tensor) -> Tensor:
    """Return 1 / the rank of the first photo of a query's label, among all positives and negatives, [Q] float64.

    embeddings [N, D]; triplets [T, 3] int64, rows of these; labels [N]. Every distinct query counts once, `_RANKED_MAX`
    of them where there are more; a photo does not find itself, and what is as near as the first one stands before it.
    """
    queries, gallery = torch.unique(triplets[:, 0]), torch.unique(triplets[:, 1:])
    if len(queries) > _RANKED_MAX:
        queries = queries[torch.linspace(0, len(queries) - 1, _RANKED_MAX).long()]
    found = []
    for rows in torch.split(queries, _RANKED_AT_ONCE):
        distances = torch.cdist(embeddings[rows], embeddings[gallery])
        distances[rows[:, None] == gallery] = torch.inf
        alike = labels[rows][:, None] == labels[gallery]
        nearest = distances.masked_fill(~alike, torch.inf).amin(dim=1, keepdim=True)
        before = ((distances <= nearest) & ~alike).sum(dim=1)
        found.append(1.0 / (1.0 + before.double()))
    return torch.cat(found)


def standard_error(shares: Tensor) -> float:
    """Return the standard error of the mean of numbers in 0..1, [N], which is not 0 where all are alike.

    One more that is 0 and one that is 1 are counted, as in the interval of Agresti and Coull (1998).
    """
    more = torch.cat([shares, shares.new_tensor([0.0, 1.0])])
    return float((more.var(correction=0) / len(more)).sqrt())


def _dimensions(model: nn.Module, images: Dataset[Tensor]) -> int:
    """Count the dimensions of a model's embeddings, by embedding two photos; nothing of the model changes."""
    training = {module: module.training for module in model.modules()}
    photos = as_floats(stack(images, [0, 0]))  # not in inference mode: a dataset may keep what it has read
    with torch.inference_mode():
        embeddings = model.eval()(photos)
    for module, was in training.items():
        module.training = was
    return int(embeddings.shape[1])
