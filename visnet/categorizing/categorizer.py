"""Trained models of category paths on disk, and answers from the one that was chosen."""

import functools
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from visnet.categorizing import answers
from visnet.categorizing.answers import PathAnswer
from visnet.categorizing.files import AGAIN, SETTINGS, TAXONOMY, TOGETHER, Head, Model, tensors
from visnet.categorizing.network import PathNetwork, PathNetworks
from visnet.embedding.crop_dataset import square
from visnet.embedding.embed import Computed, chosen_device, chosen_precision, embed, ready
from visnet.embedding.together import ALONE, SIZES, embed_together
from visnet.errors import Damaged, NotFound
from visnet.models.state import digest, load_exactly, read_state
from visnet.pipeline.log import SILENT, Log
from visnet.storage import atomic
from visnet.storage.fingerprints import fingerprint
from visnet.taxonomy.tree import Taxonomy

BATCH = 16


@dataclass(frozen=True)
class PathSettings:
    """What the networks were built with, which of them answers, and how sure it must be of a level to name it.

    side_px: of the photos that are answered. temperatures: by which each model's log-probabilities are divided, so that
    they are as right as they say; if one of them is `TOGETHER`, that is what answers.
    """

    network: str
    side_px: int
    frozen_blocks: int
    chosen: Head
    sure: float
    temperatures: Mapping[Model, float]

    @property
    def answers(self) -> Model:
        """Which model answers."""
        return TOGETHER if TOGETHER in self.temperatures else self.chosen


class Categorizer:
    """Answers with the path of what a photo shows, as deep as it is sure."""

    def __init__(
        self,
        taxonomy: Taxonomy,
        networks: Mapping[Head, PathNetwork],
        settings: PathSettings,
        again: PathNetwork | None = None,
    ) -> None:
        """Take the networks, and the chosen one as it has learnt `again`, where settings have them answer together."""
        if (again is None) == (TOGETHER in settings.temperatures):
            raise ValueError(f"{TOGETHER!r} has a temperature where there is a network that has learnt again, only")
        self.taxonomy, self.networks, self.settings, self.again = taxonomy, networks, settings, again

    @classmethod
    def load(cls, folder: Path, heads: Sequence[Head] | None = None) -> "Categorizer":
        """Read what `save` wrote, with the chosen network, or those that are named; `ValueError` names the file."""
        where = folder / SETTINGS
        if not where.is_file():
            raise NotFound(
                f"{where}: no such file; `enabled = true` in taxonomy_model.toml and `dvc repro taxonomy_model` make it"
            )
        try:
            settings = PathSettings(**tomllib.loads(where.read_text(encoding="utf-8")))
            if not {settings.chosen, *settings.temperatures} <= {*get_args(Head), TOGETHER}:
                raise ValueError(f"unknown models {settings.chosen!r}, {', '.join(settings.temperatures)}")
        except (tomllib.TOMLDecodeError, TypeError, ValueError) as error:
            raise Damaged(f"{where}: not what models of category paths were built with ({error})") from None
        taxonomy = Taxonomy.load(folder / TAXONOMY)
        networks = {
            head: _read(folder / tensors(head), taxonomy, head, settings) for head in heads or [settings.chosen]
        }
        together = settings.answers == TOGETHER
        again = _read(folder / tensors(AGAIN), taxonomy, settings.chosen, settings) if together else None
        return cls(taxonomy, networks, settings, again)

    def save(self, folder: Path) -> None:
        """Write taxonomy and networks, and the settings last of all."""
        self.taxonomy.save(folder / TAXONOMY)
        for name, network in (*self.networks.items(), *([(AGAIN, self.again)] if self.again else [])):
            state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
            with atomic.writing(folder / tensors(name)) as building:
                safetensors.torch.save_file(state, building)
        told = asdict(self.settings)
        temperatures = told.pop("temperatures")
        text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in told.items())
        text += "\n[temperatures]\n" + "".join(f"{model} = {value!r}\n" for model, value in temperatures.items())
        atomic.put_text(folder / SETTINGS, text)

    @property
    def made_by(self) -> str:
        """Name all that an answer depends on: taxonomy, settings, and the networks that answer."""
        weights = digest(self.model(self.settings.answers).state_dict())
        return fingerprint(self.taxonomy.version, repr(self.settings), weights)

    def model(self, name: Model) -> nn.Module:
        """Return the network of a model; of `TOGETHER`, both that answer."""
        chosen = self.networks[self.settings.chosen if name == TOGETHER else name]
        return PathNetworks([chosen, self.again]) if name == TOGETHER and self.again else chosen

    def scores(self, name: Model, images: Dataset[Tensor], log: Log = SILENT, workers: int = 0) -> np.ndarray:
        """Return the log-probability of every path for photos uint8 [3, S, S] of `side_px`, [N, P] float64."""
        parts = embed(self.model(name), images, batch=BATCH, log=log, workers=workers)
        found = [np.empty((0, len(self.taxonomy.paths))), *(some.double().numpy() for _, some in parts)]
        return np.concatenate(found)

    def probabilities(self, name: Model, scores: np.ndarray) -> np.ndarray:
        """Return the calibrated probability of every path, which sum to one over them, [N, P] float64."""
        return answers.probabilities(scores, self.settings.temperatures[name])

    def square(self, picture: Image.Image) -> Tensor:
        """Make an upright RGB picture what the networks take, uint8 [3, S, S]."""
        return square(picture, self.settings.side_px)

    def likely(self, squares: Sequence[Tensor]) -> np.ndarray:
        """Return the calibrated probability of every path for a few photos, uint8 [3, S, S], [N, P] float64.

        There are no others to fill a batch up, as there are for `scores`.
        """
        if not squares:
            return np.empty((0, len(self.taxonomy.paths)))
        network, precision = self._ready
        scores = embed_together(network, squares, (*SIZES, *ALONE), precision)
        return self.probabilities(self.settings.answers, scores.double().numpy())

    @functools.cached_property
    def _ready(self) -> tuple[nn.Module, Computed]:
        """What answers, as it answers for a few photos, and in which precision; it learns no more by then."""
        network = self.model(self.settings.answers).eval()
        precision = chosen_precision("auto", chosen_device("auto"), network)
        return ready(network, self.settings.side_px, precision), precision

    def categorize(self, squares: Sequence[Tensor]) -> list[PathAnswer]:
        """Answer for a few photos, uint8 [3, S, S], in the tree that was learnt."""
        return answers.answers(self.taxonomy, self.likely(squares), self.settings.sure)


def built(taxonomy: Taxonomy, head: Head, network: str, frozen_blocks: int, seed: int = 0) -> PathNetwork:
    """Build a network whose first weights are drawn from `seed`; its trunk's may be loaded then."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PathNetwork(taxonomy, head=head, network=network, frozen_blocks=frozen_blocks)


def _read(file: Path, taxonomy: Taxonomy, head: Head, settings: PathSettings) -> PathNetwork:
    network = built(taxonomy, head, settings.network, settings.frozen_blocks)
    state = read_state(file)
    try:
        load_exactly(network, state)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return network.eval()
