"""Models of category paths on a GPU: each head learns, alone and together, and answers there as on the CPU."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from tests.gpu.asked import DEVICE, MARKS, learnt, noisy
from visnet import training, zoo
from visnet.embedding.embed import embed

pytest.importorskip("pyarrow")  # what opens the table of crops, of which there is none here
pytest.importorskip("timm")

from tests.categorizing.trees import SHOP
from visnet.categorizing import answers, attention_picture
from visnet.categorizing.beams import BEAM, FREE, beams
from visnet.categorizing.categorizer import Categorizer, PathSettings, built
from visnet.categorizing.files import TOGETHER, Head
from visnet.categorizing.network import HEADS, PathNetwork
from visnet.categorizing.sureness import sureness
from visnet.categorizing.task import Labelled, PathTask

pytestmark = MARKS
NETWORK, SIDE_PX = "test_resnet", 64
FAR = 0.1  # of two probabilities: a GPU computes in bfloat16


class Colours(Dataset[Tensor]):
    """Noisy photos of one colour for each path of the shop, `times` each."""

    def __init__(self, times: int, seed: int = 0) -> None:
        self.paths = np.repeat(np.arange(len(SHOP.paths)), times)
        levels = torch.tensor([20, 128, 235])
        own = torch.from_numpy(self.paths)
        self.photos = noisy(
            torch.stack([levels[own % 3], levels[own // 3], levels[(own + own // 3) % 3]], 1), SIDE_PX, seed
        )
        self.names = [f"photo {row}" for row in range(len(self.paths))]

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, row: int) -> Tensor:
        return self.photos[row]

    def labelled(self) -> Labelled:
        return Labelled(self, self.paths, self.names)  # type: ignore[arg-type]


TRAIN, VALIDATION = Colours(24), Colours(4, seed=1)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[Head, PathNetwork]:
    """A network of each head, which has learnt the colours on the GPU; the last of those that learnt alike."""
    found: dict[Head, PathNetwork] = {}
    for name in HEADS:
        head: Head = name  # type: ignore[assignment]

        def train(folder: Path, head: Head = head) -> training.Fitted:
            network = built(SHOP, head, NETWORK, 0, seed=1)
            task = PathTask(network, TRAIN.labelled(), VALIDATION.labelled(), batch=24, balance=0.5, seed=3)
            options = training.Options(
                epochs=5,
                optimizer=zoo.Optimizer(name="adamw", lr=0.001, trunk_lr_factor=1.0, weight_decay=1e-4, clip_value=5.0),
                schedule=zoo.Schedule(name="cosine", warmup_epochs=1.0),
                seed=3,
                device=DEVICE,
                checkpoint_every_s=99.0,
            )
            return training.fit(task, options, folder)

        fitted = learnt(train, tmp_path_factory.mktemp(head), "validation_exact_path", 0.8)
        assert isinstance(fitted.model, PathNetwork)
        found[head] = fitted.model
    return found


def settings(chosen: Head, together: bool = False, sure: float = 0.3) -> PathSettings:
    temperatures = dict.fromkeys([*HEADS, *([TOGETHER] if together else [])], 1.0)
    return PathSettings(NETWORK, SIDE_PX, 0, chosen, sure, temperatures)  # type: ignore[arg-type]


@pytest.mark.parametrize("head", HEADS)
def test_a_head_s_answers_are_calibrated_and_those_of_the_cpu(head: Head, networks: dict[Head, PathNetwork]) -> None:
    scores = Categorizer(SHOP, networks, settings(head)).scores(head, VALIDATION)
    likely = answers.probabilities(scores, answers.temperature(scores, VALIDATION.paths))
    found = sureness(SHOP, likely, VALIDATION.paths, np.arange(len(VALIDATION)), 0.8, seed=1)
    assert found.answered >= 0.8
    assert found.precision >= 0.8
    parts = embed(networks[head], VALIDATION, batch=16, device="cpu", precision="fp32")
    alone = torch.cat([some for _, some in parts]).double().numpy()
    assert np.abs(np.exp(alone) - np.exp(scores)).max() < FAR


@pytest.mark.parametrize("head", HEADS)
def test_a_model_that_has_answered_and_one_that_has_not_answer_together(
    head: Head, networks: dict[Head, PathNetwork], tmp_path: Path
) -> None:
    again = copy.deepcopy(networks[head]).cpu()
    with torch.no_grad():
        next(again.head.parameters()).mul_(1.01)
    categorizer = Categorizer(SHOP, networks, settings(head, together=True), again)
    first = categorizer.probabilities(head, categorizer.scores(head, VALIDATION))
    both = categorizer.probabilities(TOGETHER, categorizer.scores(TOGETHER, VALIDATION))
    assert np.abs(both - first).max() < FAR, "they are nearly one network"
    squares = [VALIDATION[row] for row in range(5)]
    likely = categorizer.likely(squares)
    assert np.abs(likely - both[:5]).max() < FAR
    categorizer.save(tmp_path)
    loaded = Categorizer.load(tmp_path)
    assert loaded.made_by == categorizer.made_by
    assert np.abs(loaded.likely(squares) - likely).max() < FAR


@pytest.mark.parametrize("head", HEADS)
def test_a_picture_shows_where_a_model_that_has_answered_looks(head: Head, networks: dict[Head, PathNetwork]) -> None:
    categorizer = Categorizer(SHOP, networks, settings(head))
    categorizer.scores(head, VALIDATION)
    picture = Image.fromarray(VALIDATION[0].permute(1, 2, 0).numpy())
    answer = categorizer.categorize([categorizer.square(picture)])[0]
    shown = attention_picture.panels(categorizer, picture, answer)
    assert len(shown) == 1 + len(answer.level_probabilities)


def test_a_beam_says_what_the_exact_decoder_does(networks: dict[Head, PathNetwork]) -> None:
    scores = Categorizer(SHOP, networks, settings("attention")).scores("attention", VALIDATION)
    exact = [SHOP.paths[number] for number in scores.argmax(1)]
    said = beams(networks["attention"], VALIDATION, 5)
    assert np.mean([one == other for one, other in zip(said[BEAM], exact, strict=True)]) >= 0.9
    assert len(said[FREE]) == len(exact)
