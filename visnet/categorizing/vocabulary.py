"""The words of a decoder of paths: the names of the levels, a start and an end."""

from typing import NamedTuple

import numpy as np

from visnet.taxonomy import paths
from visnet.taxonomy.tree import Taxonomy

NONE = -1


class Level(NamedTuple):
    """The M nodes of a level, and the E paths that end at one of them; all int64.

    parent: where it stands among the nodes of the level above, [M]. word: [M]. path: the number of each that ends, [E].
    place: at which of the nodes, [E].
    """

    parent: np.ndarray
    word: np.ndarray
    path: np.ndarray
    place: np.ndarray


class Vocabulary(NamedTuple):
    """Words 0 to T − 1 are the taxonomy's tokens, then come `start` and `end`.

    levels: from the first one down. spelled: each path as start, its tokens, end, and `NONE` beyond, [P, depth + 2].
    """

    tokens: tuple[str, ...]
    levels: tuple[Level, ...]
    spelled: np.ndarray
    paths: tuple[str, ...]

    @property
    def start(self) -> int:
        """The word before the first level."""
        return len(self.tokens)

    @property
    def end(self) -> int:
        """The word after the last one."""
        return len(self.tokens) + 1

    @property
    def size(self) -> int:
        """How many words there are."""
        return len(self.tokens) + 2

    def text(self, words: list[int]) -> str:
        """Return the path that some words spell, up to the end if it is among them."""
        named = words[: words.index(self.end)] if self.end in words else words
        return paths.joined([self.tokens[word] for word in named if word < self.start])

    @classmethod
    def of(cls, taxonomy: Taxonomy) -> "Vocabulary":
        """Take the tokens and nodes of a taxonomy."""
        place = np.full(len(taxonomy.nodes), NONE)
        levels = []
        for number in range(taxonomy.depth):
            nodes = np.flatnonzero(taxonomy.levels == number)
            place[nodes] = np.arange(len(nodes))
            above = taxonomy.parents[nodes]
            ended = np.flatnonzero(taxonomy.levels[taxonomy.ends] == number)
            levels.append(
                Level(
                    place[above] if number else np.zeros(len(nodes), np.int64),
                    taxonomy.token_of[nodes],
                    ended,
                    place[taxonomy.ends[ended]],
                )
            )
        spelled = np.full((len(taxonomy.paths), taxonomy.depth + 2), NONE)
        spelled[:, 0] = len(taxonomy.tokens)
        for number in range(taxonomy.depth):
            node = taxonomy.ancestors[:, number]
            spelled[node >= 0, number + 1] = taxonomy.token_of[node[node >= 0]]
        length = (taxonomy.ancestors >= 0).sum(1)
        spelled[np.arange(len(spelled)), length + 1] = len(taxonomy.tokens) + 1
        return cls(taxonomy.tokens, tuple(levels), spelled, taxonomy.paths)
