"""Learning paths: which photos an epoch takes, and that pictures are learnt by heart and found again from disk."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from tests.categorizing.trees import SHOP
from visnet import zoo
from visnet.categorizing import attention_picture
from visnet.categorizing.beams import BEAM, FREE, beams
from visnet.categorizing.categorizer import Categorizer, PathSettings, built
from visnet.categorizing.files import answering
from visnet.categorizing.network import HEADS, PathNetwork, PathNetworks
from visnet.categorizing.task import Labelled, PathBatches, PathTask
from visnet.errors import Damaged, NotFound
from visnet.models.pretrained import load_pretrained
from visnet.models.timm_trunk import TimmTrunk
from visnet.training import Options, fit

pytestmark = pytest.mark.usefixtures("one_thread")
SIDE_PX = 64
NETWORK = "tf_efficientnet_lite0"


class Colours(Dataset[Tensor]):
    """One plain colour for each path of the shop, `times` each."""

    def __init__(self, times: int) -> None:
        self.paths = np.repeat(np.arange(len(SHOP.paths)), times)
        self.names = [f"photo {row}" for row in range(len(self.paths))]

    def __len__(self) -> int:
        return len(self.paths)

    def picture(self, row: int) -> Image.Image:
        hue = int(255 * self.paths[row] / len(SHOP.paths))
        return Image.new("HSV", (SIDE_PX, SIDE_PX), (hue, 255, 80 if self.paths[row] % 2 else 220)).convert("RGB")

    def __getitem__(self, row: int) -> Tensor:
        return torch.from_numpy(np.array(self.picture(row))).permute(2, 0, 1)


def labelled(times: int) -> Labelled:
    images = Colours(times)
    return Labelled(images, images.paths, images.names)  # type: ignore[arg-type]


@pytest.mark.parametrize(("balance", "shares"), [(0.0, (0.9, 0.1)), (1.0, (0.5, 0.5)), (0.5, (0.75, 0.25))])
def test_a_rare_path_is_taken_as_often_as_its_share_says(balance: float, shares: tuple[float, float]) -> None:
    images = Colours(1)
    rare = Labelled(images, np.repeat([0, 1], [90, 10]), [])  # type: ignore[arg-type]
    batches = PathBatches(rare, batch=32, balance=balance, seed=3)
    rows = [row for number in range(batches.per_epoch) for row in batches._rows(0, number)]
    assert len(rows) == 100
    found = Counter(int(rare.paths[row]) for row in rows)
    assert (found[0] / 100, found[1] / 100) == pytest.approx(shares, abs=0.011)
    taken = Counter(rows)
    for path in (0, 1):  # photos of one path take turns
        times = [taken[row] for row in np.flatnonzero(rare.paths == path)]
        assert max(times) - min(times) <= 1


def test_a_batch_depends_on_its_epoch_and_number_alone() -> None:
    one, other = (PathBatches(labelled(3), batch=5, balance=0.5, seed=3) for _ in range(2))
    other[4, 0]  # whatever was asked for before
    for at in ((0, 0), (2, 1), (0, 1)):
        assert all(torch.equal(part, again) for part, again in zip(one[at], other[at], strict=True))
    assert not torch.equal(one[0, 0].photos, one[1, 0].photos)
    assert one.described(0, 0).startswith("the crops photo ")


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Categorizer:
    """All three models, which have seen a colour for each path."""
    torch.set_num_threads(1)
    networks, photos = {}, labelled(7)  # an epoch of seven steps: the end of each is saved and measured
    for head in HEADS:
        network = built(SHOP, head, NETWORK, 14, seed=1)  # type: ignore[arg-type]
        load_pretrained(network, "package", "toy")
        task = PathTask(network, photos, labelled(1), batch=9, balance=0.0, seed=3)
        options = Options(
            epochs=4,
            optimizer=zoo.Optimizer(name="adamw", lr=0.004, clip_value=5.0),
            schedule=zoo.Schedule(),
            seed=3,
            device="cpu",
            precision="fp32",
            checkpoint_every_s=99.0,
        )
        fitted = fit(task, options, tmp_path_factory.mktemp(head))
        assert fitted.metrics["validation_exact_path"] >= 0.8, f"{head} does not learn nine colours"
        networks[head] = network
    settings = PathSettings(NETWORK, SIDE_PX, 14, "attention", 0.3, dict.fromkeys(HEADS, 1.0))  # type: ignore[arg-type]
    return Categorizer(SHOP, networks, settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def _fp32() -> Iterator[None]:
    """Compare fp32 also where a CPU has AMX, by which "auto" is bf16."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        yield


def second(seed: int) -> PathNetwork:
    """A network of the same pretrained trunk, which has learnt nothing."""
    network = built(SHOP, "leaves", NETWORK, 14, seed)
    load_pretrained(network, "package", "toy")
    return network.eval()


@pytest.fixture(scope="module")
def pair(learnt: Categorizer) -> Categorizer:
    """One of the models, and a second network of it."""
    settings = dataclasses.replace(learnt.settings, chosen="leaves", temperatures={"leaves": 1.0, "together": 0.5})
    return Categorizer(SHOP, {"leaves": learnt.networks["leaves"]}, settings, second(9))


def test_two_networks_answer_by_the_mean_of_what_each_holds_likely(pair: Categorizer) -> None:
    assert pair.again is not None
    alone = Categorizer(SHOP, {"leaves": pair.again}, dataclasses.replace(pair.settings, temperatures={"leaves": 1.0}))
    each = [np.exp(one.scores("leaves", Colours(1))) for one in (pair, alone)]
    assert np.abs(each[0] - each[1]).max() > 0.1
    assert np.exp(pair.scores("together", Colours(1))) == pytest.approx(np.mean(each, axis=0), abs=1e-5)
    squares = [pair.square(picture_of(row)) for row in range(len(SHOP.paths))]
    sharper = np.mean(each, axis=0) ** 2  # by the temperature of both
    assert pair.likely(squares) == pytest.approx(sharper / sharper.sum(1, keepdims=True), abs=1e-4)


def test_what_two_networks_have_alike_sees_a_photo_once(pair: Categorizer) -> None:
    together, seen = pair.model("together"), []
    assert isinstance(together, PathNetworks)
    layers = {name: layer for name, layer in together.named_modules() if isinstance(layer, torch.nn.Conv2d)}
    for name, layer in layers.items():
        layer.register_forward_hook(lambda *_, name=name: seen.append(name.partition(".")[0]))
    together(torch.rand(1, 3, SIDE_PX, SIDE_PX))
    assert len(seen) == len(layers)
    assert seen.count("first") > seen.count("own") > 0, "14 of 16 blocks are frozen"


@pytest.mark.parametrize("network", ["tf_efficientnet_lite0", "tf_efficientnet_lite2", "resnet101"])
def test_a_trunk_s_layers_one_after_another_make_its_map(network: str) -> None:
    body = TimmTrunk(network=network, embedding=0, frozen_blocks=2).eval()
    photos = torch.rand(1, 3, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        found = body.normalise(photos)
        for layer in body.layers():
            found = layer(found)
        assert torch.equal(found, body.last_map(photos))


def test_both_networks_are_written_read_and_named_by_their_answers(pair: Categorizer, tmp_path: Path) -> None:
    pair.save(tmp_path)
    assert answering(tmp_path) == ("models.toml", "taxonomy.json", "leaves.safetensors", "again.safetensors")
    read = Categorizer.load(tmp_path)
    assert read.made_by == pair.made_by
    squares = [pair.square(picture_of(row)) for row in (0, 5)]
    assert read.categorize(squares) == pair.categorize(squares)
    other = Categorizer(SHOP, pair.networks, pair.settings, second(8))
    assert other.made_by != pair.made_by, "another second network answers otherwise"
    (tmp_path / "again.safetensors").unlink()
    with pytest.raises(NotFound, match=r"again\.safetensors"):
        Categorizer.load(tmp_path)


def test_what_answers_together_has_a_second_network(learnt: Categorizer, pair: Categorizer) -> None:
    for settings, again in ((pair.settings, None), (learnt.settings, pair.again)):
        with pytest.raises(ValueError, match="'together' has a temperature where"):
            Categorizer(SHOP, learnt.networks, settings, again)


def test_models_on_disk_answer_as_before(learnt: Categorizer, tmp_path: Path) -> None:
    learnt.save(tmp_path)
    again = Categorizer.load(tmp_path)
    assert list(again.networks) == ["attention"], "only what answers is read"
    assert again.made_by == learnt.made_by
    squares = [learnt.square(picture_of(row)) for row in (0, 5)]
    assert again.categorize(squares) == learnt.categorize(squares)
    assert {*Categorizer.load(tmp_path, ["leaves", "levels"]).networks} == {"leaves", "levels"}
    assert Categorizer.load(tmp_path).categorize([]) == []


def picture_of(row: int) -> Image.Image:
    return Colours(1).picture(row)


def test_a_beam_keeps_to_the_taxonomy(learnt: Categorizer) -> None:
    said = beams(learnt.networks["attention"], Colours(1), 5)
    assert set(said) == {BEAM, FREE}
    assert set(said[BEAM]) <= set(SHOP.paths)
    exact = learnt.scores("attention", Colours(1)).argmax(1)
    assert np.mean([SHOP.paths[a] == b for a, b in zip(exact, said[BEAM], strict=True)]) > 0.8
    with pytest.raises(TypeError, match="LeavesHead"):
        beams(learnt.networks["leaves"], Colours(1), 5)


@pytest.mark.parametrize("head", sorted(HEADS))
def test_a_picture_has_a_panel_for_each_level(learnt: Categorizer, head: str) -> None:
    (answer,) = learnt.categorize([learnt.square(picture_of(1))])
    explaining = Categorizer(SHOP, learnt.networks, dataclasses.replace(learnt.settings, chosen=head))  # type: ignore[arg-type]
    row = attention_picture.panels(explaining, picture_of(1), answer, "photo.jpg")
    assert [one.caption.partition(" ")[2] for one in row[1:]] == answer.path.split("/")
    assert row[0].caption == "photo.jpg"


def test_the_model_that_answers_is_the_one_whose_looks_are_drawn(learnt: Categorizer) -> None:
    (answer,) = learnt.categorize([learnt.square(picture_of(1))])
    drawn = []
    for head in ("attention", "leaves", "levels"):
        explaining = Categorizer(SHOP, learnt.networks, dataclasses.replace(learnt.settings, chosen=head))  # type: ignore[arg-type]
        drawn.append([one.image.tobytes() for one in attention_picture.panels(explaining, picture_of(1), answer)[1:]])
    assert drawn[0] != drawn[1] != drawn[2]


def test_damaged_files_are_named(learnt: Categorizer, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"models\.toml: no such file; `enabled = true` in taxonomy_model\.toml"):
        Categorizer.load(tmp_path)
    learnt.save(tmp_path)
    (tmp_path / "attention.safetensors").write_bytes(b"cut")
    with pytest.raises(ValueError, match=r"attention\.safetensors"):
        Categorizer.load(tmp_path)
    (tmp_path / "models.toml").write_text('network = "x"\n')
    with pytest.raises(Damaged, match=r"models\.toml: not what models of category paths were built with"):
        Categorizer.load(tmp_path)
