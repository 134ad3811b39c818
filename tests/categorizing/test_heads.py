"""The heads: losses beside loops, the published sizes, and that each says where it looks."""

import math

import numpy as np
import pytest
import torch

from tests.categorizing.trees import CHANNELS, SHOP, drawn, spelled
from tests.sources.test_atlas import TAXONOMY
from visnet.categorizing.attention import AttentionHead
from visnet.categorizing.classifiers import LeavesHead, LevelsHead
from visnet.categorizing.files import Head
from visnet.categorizing.learning import first_of_the_best
from visnet.categorizing.network import HEADS, PathNetwork
from visnet.taxonomy.paths import joined, levels_of
from visnet.taxonomy.tree import Taxonomy

ATLAS = Taxonomy.of(joined(path) for path in TAXONOMY)


def maps(photos: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(photos, CHANNELS, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_the_decoder_of_atlas_has_the_published_size() -> None:
    """10,816,059 parameters with 58 words; `<unk>` and `<pad>` are no words here, each of 512 + 513 numbers."""
    head = AttentionHead(ATLAS, 2048)
    assert head.vocabulary.size == 56
    assert sum(p.numel() for p in head.parameters()) == 10_816_059 - 2 * (512 + 513)


def test_of_resnet101_the_stem_and_the_first_stage_stay_as_they_are() -> None:
    network = PathNetwork(ATLAS, head="leaves", network="resnet101", frozen_blocks=3)
    frozen = {name.split(".")[2] for name, p in network.body.named_parameters(prefix="b") if not p.requires_grad}
    assert frozen == {"conv1", "bn1", "layer1"}
    assert network.head(torch.zeros(1, 2048, 7, 7)).shape == (1, 52)


def test_a_name_under_two_parents_is_one_word_and_two_paths() -> None:
    words = AttentionHead(ATLAS, CHANNELS, width=4).vocabulary
    jackets = [path for path in words.paths if levels_of(path)[-1] == "Jackets"]
    assert jackets == ["Men/Ethnic Wear/Jackets", "Men/Western Wear/Jackets"]
    assert words.tokens.count("Jackets") == 1
    assert [words.text(row[row >= 0].tolist()[1:]) for row in words.spelled] == list(words.paths)


def test_the_loss_of_levels_is_that_of_every_node_above_a_path() -> None:
    torch.manual_seed(2)
    head, found = LevelsHead(SHOP, CHANNELS, dropout=0.0), maps(len(SHOP.paths))
    truth = torch.arange(len(SHOP.paths))
    chances = head(found).exp().tolist()
    losses = []
    for row, path in enumerate(SHOP.paths):
        levels = levels_of(path)
        nodes = [levels[:depth] for depth in range(1, len(levels))]
        through = [
            sum(p for p, other in zip(chances[row], SHOP.paths, strict=True) if levels_of(other)[: len(n)] == n)
            for n in nodes
        ]
        losses.append(-np.mean([math.log(p) for p in (*through, chances[row][row])]))
    assert head.loss(found, truth).item() == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_decoders_loss_is_that_of_its_words_and_of_uneven_looks() -> None:
    head = drawn(SHOP, 3, spread=0.3)
    found, truth = maps(len(SHOP.paths)), torch.arange(len(SHOP.paths))
    words, lost, uneven = head.vocabulary, [], []
    with torch.inference_mode():
        for row, path in enumerate(SHOP.paths):
            cells, memory = head.look(found[row : row + 1])
            read, looks = words.start, []
            for word in [*(words.tokens.index(name) for name in levels_of(path)), words.end]:
                log, memory, looked = spelled(head, cells, memory, read)
                lost.append(-float(log[0, 0, word]))
                looks.append(looked[0, 0])
                read = word
            share = torch.stack(looks).sum(0) / len(looks)  # T / P of T steps over P cells would be 1 / P
            uneven.append(float((share * share.numel() - 1.0).square().mean()))
        wanted = np.mean(lost) + head.even * np.mean(uneven)
        assert head.loss(found, truth).item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("kind", sorted(HEADS))
def test_every_head_scores_all_paths_and_looks_once_for_each_level(kind: str) -> None:
    torch.manual_seed(4)
    head = HEADS[kind](SHOP, CHANNELS).eval()
    with torch.inference_mode():
        scores = head(maps(3))
        assert scores.shape == (3, len(SHOP.paths))
        assert float(scores.max()) <= 0.0
        for number, path in enumerate(SHOP.paths):
            beneath = [torch.tensor([number])] * len(levels_of(path))
            looks = head.looks(maps(1), number, beneath)
            assert looks.shape[0] == len(levels_of(path))
            assert bool((looks >= 0).all())


def test_a_classifier_looks_where_its_class_is() -> None:
    """A map that is lit in one corner by what only the first path's weights see."""
    head = LeavesHead(SHOP, CHANNELS).eval()
    with torch.inference_mode():
        head.paths.weight.zero_()
        head.paths.weight[0, 2] = 1.0
        found = torch.zeros(1, CHANNELS, 4, 4)
        found[0, 2, 1, 3] = 5.0
        (look,) = head.looks(found, 0, [torch.tensor([0])])
    assert look.argmax().item() == 1 * 4 + 3
    assert int((look > 0).sum()) == 1


@pytest.mark.parametrize("kind", sorted(HEADS))
def test_a_photo_scores_alike_in_any_company(kind: str) -> None:
    torch.manual_seed(5)
    head = HEADS[kind](SHOP, CHANNELS).eval()
    with torch.inference_mode():
        torch.testing.assert_close(head(maps(5))[2:3], head(maps(5)[2:3]), rtol=1e-5, atol=1e-6)


def test_cells_that_are_repeated_change_nothing() -> None:
    """Atlas draws a small map out to 14 by 14; where that repeats each cell, all scores are as without."""
    head = drawn(SHOP, 6)
    head.cells = 8
    with torch.inference_mode():
        torch.testing.assert_close(head(maps(2)), head(maps(2).repeat_interleave(2, 2).repeat_interleave(2, 3)))


@pytest.mark.parametrize(
    ("exact", "photos", "wanted"),
    [
        ({"levels": 0.972, "leaves": 0.975, "attention": 0.966}, 322, "levels"),  # one photo less: within 0.0087
        ({"leaves": 0.972, "levels": 0.975, "attention": 0.966}, 322, "leaves"),
        ({"levels": 0.972, "leaves": 0.975}, 32_200, "leaves"),  # of so many photos the difference is real
        ({"levels": 0.9, "leaves": 1.0}, 10, "leaves"),  # the best has no error, and nothing is as good
        ({"levels": 1.0, "leaves": 1.0}, 10, "levels"),
        ({"attention": 0.0, "leaves": 0.0}, 10, "attention"),
    ],
)
def test_of_those_that_the_photos_cannot_tell_from_the_best_the_first_one_answers(
    exact: dict[Head, float], photos: int, wanted: Head
) -> None:
    assert first_of_the_best(exact, photos) == wanted
