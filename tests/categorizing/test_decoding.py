"""Decoding: every path's probability beside one word after the other, beams beside all paths, words beside no tree."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.taxonomy_atlas import AtlasDecoder
from tests.categorizing.trees import CHANNELS, SHOP, drawn, looked, spelled
from visnet.categorizing import attention, decoding
from visnet.categorizing.attention import AttentionHead
from visnet.categorizing.decoding import Cells, Memory
from visnet.taxonomy.paths import joined, levels_of
from visnet.taxonomy.tree import Taxonomy


def log_probability(
    head: AttentionHead, cells: Cells, memory: Memory, names: list[str], *, ended: bool = True
) -> float:
    """Spell one path for one photo, a word at a time, and its end unless it has none."""
    words = head.vocabulary
    total, read = 0.0, words.start
    for word in [*(words.tokens.index(name) for name in names), *[words.end] * ended]:
        log, memory, _ = spelled(head, cells, memory, read)
        total, read = total + float(log[0, 0, word]), word
    return total


def one_by_one(head: AttentionHead, cells: Cells, memory: Memory, taxonomy: Taxonomy) -> torch.Tensor:
    photos = range(len(cells.values))
    parts = [(Cells(*(p[i : i + 1] for p in cells)), Memory(*(p[i : i + 1] for p in memory))) for i in photos]
    return torch.tensor([[log_probability(head, *part, levels_of(path)) for path in taxonomy.paths] for part in parts])


@pytest.mark.parametrize("at_once", [1 << 25, 200, 1])
def test_all_paths_at_once_are_scored_as_one_after_the_other(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "AT_ONCE", at_once)  # numbers that are held together: prefixes in pieces
    head = drawn(SHOP, 1)
    with torch.inference_mode():
        cells, memory = looked(head, 4, 2)
        torch.testing.assert_close(decoding.exact(head, cells, memory), one_by_one(head, cells, memory, SHOP))


def test_a_decoder_spends_all_of_its_probability_on_words() -> None:
    """Over every text of at most two words, ended, and every one of three that is not: together it is one."""
    taxonomy = Taxonomy.of(["a/b", "c"])
    head = drawn(taxonomy, 3)
    words = head.vocabulary
    with torch.inference_mode():
        cells, memory = looked(head, 1, 4)

        def spent(memory: Memory, read: int, left: int) -> float:
            log, after, _ = spelled(head, cells, memory, read)
            chances = log[0, 0].exp().tolist()
            if left == 0:
                return sum(chances)
            return sum(c if w == words.end else c * spent(after, w, left - 1) for w, c in enumerate(chances))

        assert spent(memory, words.start, 2) == pytest.approx(1.0, abs=1e-5)


@st.composite
def taxonomies(draw: st.DrawFn) -> Taxonomy:
    names = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(joined)
    return Taxonomy.of(draw(st.sets(names, min_size=2, max_size=12)))


@settings(max_examples=60)
@given(taxonomies(), st.integers(0, 99))
def test_a_beam_as_wide_as_there_are_paths_finds_them_all(taxonomy: Taxonomy, seed: int) -> None:
    head = drawn(taxonomy, seed)
    with torch.inference_mode():
        seen = looked(head, 3, seed)
        scores = decoding.exact(head, *seen)
        paths, found = decoding.beam(head, *seen, len(taxonomy.paths))
    torch.testing.assert_close(found, scores.sort(dim=1, descending=True).values)
    torch.testing.assert_close(scores.gather(1, paths), found)
    assert all(sorted(row) == list(range(len(taxonomy.paths))) for row in paths.tolist())


@settings(max_examples=60)
@given(taxonomies(), st.integers(0, 99), st.integers(1, 5))
def test_a_narrow_beam_is_the_search_that_keeps_the_best_prefixes(taxonomy: Taxonomy, seed: int, k: int) -> None:
    """Beside a search over lists, one photo at a time: at each step the k best of what goes on and what ends."""
    head = drawn(taxonomy, seed)
    words = head.vocabulary
    allowed = {tuple(levels_of(path)): number for number, path in enumerate(taxonomy.paths)}
    prefixes = {path[:depth] for path in allowed for depth in range(1, len(path) + 1)}
    with torch.inference_mode():
        seen = looked(head, 2, seed)
        paths, scores = decoding.beam(head, *seen, k)
        for photo in range(2):
            cells, memory = (type(part)(*(p[photo : photo + 1] for p in part)) for part in seen)
            live: list[tuple[float, tuple[str, ...], Memory]] = [(0.0, (), memory)]
            ended: dict[int, float] = {}
            while live:
                race = []
                for score, prefix, before in live:
                    read = words.tokens.index(prefix[-1]) if prefix else words.start
                    log, after, _ = spelled(head, cells, before, read)
                    for word, name in enumerate(words.tokens):
                        if (*prefix, name) in prefixes:
                            race.append((score + float(log[0, 0, word]), (*prefix, name), after, False))
                    if prefix in allowed:
                        race.append((score + float(log[0, 0, words.end]), prefix, after, True))
                race = sorted(race, key=lambda one: -one[0])[:k]
                ended |= {allowed[prefix]: score for score, prefix, _, ends in race if ends}
                live = [(score, prefix, after) for score, prefix, after, ends in race if not ends]
            best = sorted(ended.items(), key=lambda one: -one[1])[:k]
            own = [(p, s) for p, s in zip(paths[photo].tolist(), scores[photo].tolist(), strict=True) if s > -1e30]
            assert [p for p, _ in own] == [p for p, _ in best]
            assert [s for _, s in own] == pytest.approx([s for _, s in best], abs=1e-4)


@pytest.mark.parametrize("cells", [None, 6])
def test_the_published_beam_finds_what_the_batched_one_finds(cells: int | None) -> None:
    """One photo and one word at a time, over the map's own cells, and over the same ones drawn out to four times."""
    maps = torch.randn(6, CHANNELS, 3, 3, generator=torch.Generator().manual_seed(6))
    said = set()
    with torch.inference_mode():
        for seed, k in itertools.product(range(6), (1, 2, 5)):
            head = drawn(SHOP, seed)
            alone = torch.cat([AtlasDecoder(head, k, cells)(one) for one in maps.split(1)]).tolist()
            together, _ = decoding.beam(head, *head.look(maps), k)
            assert alone == together[:, 0].tolist()
            said |= {*alone}
    assert len(said) > 3, "photos and weights are to differ"


def test_of_equal_scores_the_first_path_is_found() -> None:
    taxonomy = Taxonomy.of([f"{level}/{leaf}" for level, leaf in itertools.product("ab", "xyz")])
    head = drawn(taxonomy, 1)
    with torch.inference_mode():
        for parameter in head.parameters():
            parameter.zero_()  # every word is as likely as any other
        paths, _ = decoding.beam(head, *looked(head, 2, 1), 4)
        assert decoding.exact(head, *looked(head, 2, 1)).argmax(1).tolist() == [0, 0]
    assert paths[:, 0].tolist() == [0, 0]


def test_words_that_no_tree_holds_may_be_no_path() -> None:
    """Two paths that are as likely as each other cross: from the first's beginning into the second's end."""
    taxonomy = Taxonomy.of(["Men/Boxers", "Women/Bathrobes"])
    head = drawn(taxonomy, 1)
    words = head.vocabulary
    with torch.inference_mode():
        for parameter in head.parameters():
            parameter.zero_()
        for name, value in (("Men", 2.0), ("Bathrobes", 1.0)):
            head.words.bias[words.tokens.index(name)] = value  # whatever was said before
        head.words.bias[words.end] = 3.0
        seen = looked(head, 1, 1)
        assert decoding.free_beam(head, *seen, 3) == [""], "the likeliest thing to say is nothing at all"
        head.words.bias[words.end] = -9.0
        (said,) = decoding.free_beam(head, *seen, 3)
        assert said not in taxonomy.paths
        (best,), _ = decoding.beam(head, *seen, 3)
        assert taxonomy.paths[best[0]] in taxonomy.paths


def test_a_free_beam_says_what_is_likeliest_of_all_texts() -> None:
    taxonomy = Taxonomy.of(["a/b", "c"])
    head = drawn(taxonomy, 5)
    with torch.inference_mode():
        for seed in range(6):
            cells, memory = looked(head, 1, seed)
            scores = {
                joined(names) if names else "": log_probability(head, cells, memory, list(names), ended=length < 3)
                for length in range(4)  # one that has not ended after three words is taken as it is
                for names in itertools.product(head.vocabulary.tokens, repeat=length)
            }
            (said,) = decoding.free_beam(head, cells, memory, 50)
            assert said == max(scores, key=lambda text: scores[text])
