"""The decoder of Atlas (arXiv 1908.08984) as it was published: one photo, one step of its beam after another.

What its script does with a photo, with a head's own weights: the photo's map is drawn out to 14 x 14 cells, these are
repeated for each prefix of the beam, and at each step the attention compares all of them anew; the LSTM reads one word
a prefix; its log-probabilities are of all words; of these the script keeps what begins an allowed path, and the best of
the beam. A path that ends is set aside, and takes none of the beam's places at the steps after it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from visnet.categorizing.attention import AttentionHead
from visnet.taxonomy.paths import levels_of


class AtlasDecoder:
    """Decode maps [1, C, h, w] by a beam of `beam`, over `cells` x `cells` of them or the map's own."""

    def __init__(self, head: AttentionHead, beam: int, cells: int | None) -> None:
        self.head, self.beam, self.cells = head, beam, cells
        words = head.vocabulary
        numbers = {token: number for number, token in enumerate(words.tokens)}
        self.paths = {
            (*(numbers[level] for level in levels_of(path)), words.end): number
            for number, path in enumerate(words.paths)
        }
        self.allowed: dict[tuple[int, ...], list[int]] = {}  # the words after each prefix
        for spelled in self.paths:
            for depth in range(len(spelled)):
                after = self.allowed.setdefault(spelled[:depth], [])
                if spelled[depth] not in after:
                    after.append(spelled[depth])

    def __call__(self, found: Tensor) -> Tensor:
        """Return the number of the likeliest path found, [1] int64."""
        head, words = self.head, self.head.vocabulary
        drawn = found if self.cells is None else F.adaptive_avg_pool2d(found, self.cells)
        values = drawn.flatten(2).transpose(1, 2).contiguous()
        mean = values.mean(1)
        hidden, cell = head.first_hidden(mean), head.first_cell(mean)
        prefixes: list[tuple[int, ...]] = [()]
        scores, ended = [0.0], []
        while prefixes:
            logs, hidden, cell = self._step(values.expand(len(prefixes), -1, -1).contiguous(), hidden, cell, prefixes)
            listed = logs.tolist()
            race = [
                (scores[at] + listed[at][word], at, word)
                for at, prefix in enumerate(prefixes)
                for word in self.allowed[prefix]
            ]
            best = sorted(race, key=lambda one: -one[0])[: self.beam]
            ended += [(score, self.paths[*prefixes[at], word]) for score, at, word in best if word == words.end]
            going_on = [one for one in best if one[2] != words.end]
            rows = torch.tensor([at for _, at, _ in going_on], dtype=torch.long)
            prefixes = [(*prefixes[at], word) for _, at, word in going_on]
            scores = [score for score, _, _ in going_on]
            hidden, cell = hidden[rows], cell[rows]
        return torch.tensor([max(ended, key=lambda one: one[0])[1]])

    def _step(
        self, values: Tensor, hidden: Tensor, cell: Tensor, prefixes: list[tuple[int, ...]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        head = self.head
        last = torch.tensor([prefix[-1] if prefix else head.vocabulary.start for prefix in prefixes])
        keys = head.key_of_cell(values)
        looked = head.energy(torch.relu(keys + head.key_of_hidden(hidden)[:, None])).squeeze(2).softmax(1)
        seen = torch.sigmoid(head.gate(hidden)) * (values * looked[:, :, None]).sum(1)
        hidden, cell = head.lstm(torch.cat([head.embedding(last), seen], 1), (hidden, cell))
        return F.log_softmax(head.words(hidden), 1), hidden, cell
