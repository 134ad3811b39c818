"""From a decoder's words to paths: all of a taxonomy's scored exactly, the best few by a beam, or any words at all."""

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from visnet.categorizing.vocabulary import Vocabulary

LOST = float("-inf")


class Cells(NamedTuple):
    """The cells of some photos [B, N, C], and what the attention compares of them [B, N, W]."""

    values: Tensor
    keys: Tensor


class Memory(NamedTuple):
    """Where a decoder stands after K prefixes of each photo: hidden and cell state, both [B, K, W]."""

    hidden: Tensor
    cell: Tensor


class Ahead(NamedTuple):
    """What K prefixes of each photo bring to any word after them: the LSTM's gates without it [B, K, 4 W], its cell."""

    gates: Tensor
    cell: Tensor


class Decoder(Protocol):
    """What spells paths word by word."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Its words."""

    def attend(self, cells: Cells, memory: Memory) -> tuple[Ahead, Tensor]:
        """Look at the cells after each of K prefixes; return what no word has a part in, and the looks [B, K, N]."""

    def read(self, ahead: Ahead, words: Tensor) -> tuple[Tensor, Memory]:
        """Read a word after each prefix, [B, K] int64, or [K] of all photos.

        Return the log-probabilities of the next one [B, K, V], and the memory then.
        """


def exact(head: Decoder, cells: Cells, memory: Memory) -> Tensor:
    """Return the log-probability of every path [B, P]: all nodes of a level are one step, for all photos at once.

    A decoder looks before it reads: what it sees, and most of its sums, are the same for all children of a node, and
    made once for them. A leaf costs a word only.
    """
    words = head.vocabulary
    photos, device = len(cells.values), cells.values.device
    scores = cells.values.new_full((photos, len(words.paths)), LOST)
    reached = scores.new_zeros(photos, 1)
    next_word, memory = head.read(head.attend(cells, memory)[0], torch.full((1,), words.start, device=device))
    for level in words.levels:
        grouped = np.unique(level.parent, return_inverse=True)
        inner, child_of = (torch.from_numpy(part).to(device) for part in grouped)
        parent, word, path, place = (torch.from_numpy(part).to(device) for part in level)
        reached = reached[:, parent] + next_word[:, parent, word]
        ahead, _ = head.attend(cells, Memory(*(part[:, inner] for part in memory)))
        next_word, memory = head.read(Ahead(*(part[:, child_of] for part in ahead)), word)
        scores[:, path] = reached[:, place] + next_word[:, place, words.end]
    return scores


def beam(head: Decoder, cells: Cells, memory: Memory, k: int) -> tuple[Tensor, Tensor]:
    """Search the taxonomy by its `k` best prefixes a step.

    Return paths [B, min(k, P)] int64, best first and the first in order of equals, and their log-probabilities, -inf
    for what was not found. A path that ends takes a place of that step and of none after it: with a k of all paths all
    are found.
    """
    words = head.vocabulary
    photos, device = len(cells.values), cells.values.device
    found = cells.values.new_full((photos, len(words.paths)), LOST)
    reached = cells.values.new_zeros(photos, 1)
    place_of = torch.zeros(photos, 1, dtype=torch.long, device=device)  # of each node above, in the beam; -1: in none
    next_word, memory = head.read(head.attend(cells, memory)[0], torch.full((1,), words.start, device=device))

    def scores(places: Tensor, word: Tensor | int) -> Tensor:
        there = places.clamp_min(0)
        log = next_word.flatten(1).gather(1, there * words.size + word)
        return (reached.gather(1, there) + log).masked_fill(places < 0, LOST)

    ending = torch.zeros(0, dtype=torch.long, device=device), torch.zeros(0, dtype=torch.long, device=device)
    for level in words.levels:
        parent, word, path, place = (torch.from_numpy(part).to(device) for part in level)
        race = torch.cat([scores(place_of[:, ending[1]], words.end), scores(place_of[:, parent], word)], 1)
        lost = torch.ones_like(race, dtype=torch.bool).scatter(1, _best(race, k), False)
        race = race.masked_fill(lost, LOST)
        found[:, ending[0]], going_on = race[:, : len(ending[0])], race[:, len(ending[0]) :]
        node = _best(going_on, k)
        before = place_of[:, parent].gather(1, node).clamp_min(0)
        next_word, memory = head.read(_rows(head.attend(cells, memory)[0], before), word[node])
        reached = going_on.gather(1, node)
        order = torch.arange(node.shape[1], device=device).expand_as(node).masked_fill(reached.isneginf(), -1)
        place_of = torch.full_like(going_on, -1, dtype=torch.long).scatter(1, node, order)
        ending = path, place
    found[:, ending[0]] = scores(place_of[:, ending[1]], words.end)
    paths = _best(found, k)
    return paths, found.gather(1, paths)


def free_beam(head: Decoder, cells: Cells, memory: Memory, k: int) -> list[str]:
    """Search all words by the `k` best prefixes a step; return the text of each photo's best, a path or not.

    What a decoder says that knows of no taxonomy. One that comes to no end is taken as long as it may be.
    """
    words = head.vocabulary
    photos, device = len(cells.values), cells.values.device
    reached = cells.values.new_zeros(photos, 1)
    said = torch.full((photos, 1, 0), 0, device=device)
    next_word, memory = head.read(head.attend(cells, memory)[0], torch.full((1,), words.start, device=device))
    best_said, best = [""] * photos, [LOST] * photos
    for _ in range(len(words.levels) + 1):
        ended = reached + next_word[:, :, words.end]
        for photo, (score, place) in enumerate(zip(*(part.tolist() for part in ended.max(1)), strict=True)):
            if score > best[photo]:
                best[photo], best_said[photo] = score, words.text(said[photo, place].tolist())
        going_on = (reached[:, :, None] + next_word[:, :, : words.start]).flatten(1)
        chosen = _best(going_on, k)
        before, word = chosen // words.start, chosen % words.start
        reached = going_on.gather(1, chosen)
        said = torch.cat([said.gather(1, before[:, :, None].expand(-1, -1, said.shape[2])), word[:, :, None]], 2)
        next_word, memory = head.read(_rows(head.attend(cells, memory)[0], before), word)
    for photo, (score, place) in enumerate(zip(*(part.tolist() for part in reached.max(1)), strict=True)):
        if score > best[photo]:
            best_said[photo] = words.text(said[photo, place].tolist())
    return best_said


def _rows(ahead: Ahead, rows: Tensor) -> Ahead:
    """Take prefixes [B, k] of each photo's own."""
    return Ahead(*(part.gather(1, rows[:, :, None].expand(-1, -1, part.shape[2])) for part in ahead))


def _best(scores: Tensor, k: int) -> Tensor:
    """Return the places of the `k` highest of each row, the first of equals."""
    return scores.sort(dim=1, descending=True, stable=True).indices[:, :k]
