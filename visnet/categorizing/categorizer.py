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
from visnet.categorizing.choices import Head
from visnet.categorizing.files import SETTINGS, TAXONOMY, tensors
from visnet.categorizing.network import PathNetwork
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

    side_px: of the photos that are answered.
    temperatures: by which each network's log-probabilities are divided, so that they are as right as they say.
    """

    network: str
    side_px: int
    frozen_blocks: int
    chosen: Head
    sure: float
    temperatures: Mapping[Head, float]


class Categorizer:
    """Answers with the path of what a photo shows, as deep as it is sure."""

    def __init__(self, taxonomy: Taxonomy, networks: Mapping[Head, PathNetwork], settings: PathSettings) -> None:
        self.taxonomy, self.networks, self.settings = taxonomy, networks, settings

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
            if not {settings.chosen, *settings.temperatures} <= set(get_args(Head)):
                raise ValueError(f"unknown models {settings.chosen!r}, {', '.join(settings.temperatures)}")
        except (tomllib.TOMLDecodeError, TypeError, ValueError) as error:
            raise Damaged(f"{where}: not what models of category paths were built with ({error})") from None
        taxonomy = Taxonomy.load(folder / TAXONOMY)
        networks = {}
        for head in heads or [settings.chosen]:
            network = built(taxonomy, head, settings.network, settings.frozen_blocks)
            try:
                load_exactly(network, read_state(folder / tensors(head)))
            except ValueError as error:
                raise ValueError(f"{folder / tensors(head)}: {error}") from None
            networks[head] = network.eval()
        return cls(taxonomy, networks, settings)

    def save(self, folder: Path) -> None:
        """Write taxonomy and networks, and the settings last of all."""
        self.taxonomy.save(folder / TAXONOMY)
        for head, network in self.networks.items():
            state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
            with atomic.writing(folder / tensors(head)) as building:
                safetensors.torch.save_file(state, building)
        told = asdict(self.settings)
        temperatures = told.pop("temperatures")
        text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in told.items())
        text += "\n[temperatures]\n" + "".join(f"{head} = {value!r}\n" for head, value in temperatures.items())
        atomic.put_text(folder / SETTINGS, text)

    @property
    def made_by(self) -> str:
        """Name all that an answer depends on: taxonomy, settings, and the chosen network."""
        weights = digest(self.networks[self.settings.chosen].state_dict())
        return fingerprint(self.taxonomy.version, repr(self.settings), weights)

    def scores(self, head: Head, images: Dataset[Tensor], log: Log = SILENT, workers: int = 0) -> np.ndarray:
        """Return the log-probability of every path for photos uint8 [3, S, S] of `side_px`, [N, P] float64."""
        parts = embed(self.networks[head], images, batch=BATCH, log=log, workers=workers)
        found = [np.empty((0, len(self.taxonomy.paths))), *(some.double().numpy() for _, some in parts)]
        return np.concatenate(found)

    def probabilities(self, head: Head, scores: np.ndarray) -> np.ndarray:
        """Return the calibrated probability of every path, which sum to one over them, [N, P] float64."""
        return answers.probabilities(scores, self.settings.temperatures[head])

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
        return self.probabilities(self.settings.chosen, scores.double().numpy())

    @functools.cached_property
    def _ready(self) -> tuple[nn.Module, Computed]:
        """The chosen network as it answers for a few photos, and in which precision; it learns no more by then."""
        precision = chosen_precision("auto", chosen_device("auto"))
        return ready(self.networks[self.settings.chosen].eval(), self.settings.side_px, precision), precision

    def categorize(self, squares: Sequence[Tensor]) -> list[PathAnswer]:
        """Answer for a few photos, uint8 [3, S, S], in the tree that was learnt."""
        return answers.answers(self.taxonomy, self.likely(squares), self.settings.sure)


def built(taxonomy: Taxonomy, head: Head, network: str, frozen_blocks: int, seed: int = 0) -> PathNetwork:
    """Build a network whose first weights are drawn from `seed`; its trunk's may be loaded then."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PathNetwork(taxonomy, head=head, network=network, frozen_blocks=frozen_blocks)
