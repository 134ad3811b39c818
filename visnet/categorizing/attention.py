"""The decoder of Atlas (arXiv 1908.08984): a path spelt level by level, each after a look at the photo's cells.

As in "Show, Attend and Tell" (arXiv 1502.03044): additive attention over the cells of the trunk's last map, a gate on
what was seen, and an LSTM whose words are the names of levels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visnet.categorizing import decoding
from visnet.categorizing.decoding import Ahead, Cells, Memory
from visnet.categorizing.vocabulary import Vocabulary
from visnet.taxonomy.tree import Taxonomy

WORDS_BOUND = 0.1  # of the first weights of embedding and words
AT_ONCE = 1 << 18  # numbers of the attention's energies that are held together: 1 MB, which a processor's cache keeps


class AttentionHead(nn.Module):
    """Score paths by spelling them; takes the trunk's map [B, C, h, w].

    cells: a larger map is pooled to so many by so many; a smaller one is not drawn out to them, since cells that are
    repeated share their weight. width: of the attention, the words and the LSTM.
    even: how much it costs to look at some cells more often than at others, over a whole path (the doubly stochastic
    attention of arXiv 1502.03044, with T / N for each of N cells over T steps).
    """

    spelled: Tensor

    def __init__(
        self, taxonomy: Taxonomy, channels: int, *, cells: int = 14, width: int = 512, even: float = 0.05
    ) -> None:
        super().__init__()
        self.vocabulary = Vocabulary.of(taxonomy)
        self.even = even
        self.cells = cells
        self.key_of_cell = nn.Linear(channels, width)
        self.key_of_hidden = nn.Linear(width, width)
        self.energy = nn.Linear(width, 1)
        self.gate = nn.Linear(width, channels)
        self.first_hidden = nn.Linear(channels, width)
        self.first_cell = nn.Linear(channels, width)
        self.embedding = nn.Embedding(self.vocabulary.size, width)
        self.lstm = nn.LSTMCell(width + channels, width)
        self.dropout = nn.Dropout(0.5)
        self.words = nn.Linear(width, self.vocabulary.size)
        for layer in (self.embedding, self.words):
            nn.init.uniform_(layer.weight, -WORDS_BOUND, WORDS_BOUND)
        nn.init.zeros_(self.words.bias)
        self.register_buffer("spelled", torch.from_numpy(self.vocabulary.spelled), persistent=False)

    def look(self, found: Tensor) -> tuple[Cells, Memory]:
        """Return the cells of the maps [B, C, h, w], and the memory before the first word, K = 1."""
        cells = min(self.cells, found.shape[2]), min(self.cells, found.shape[3])
        pooled = found if cells == found.shape[2:] else F.adaptive_avg_pool2d(found, cells)
        values = pooled.flatten(2).transpose(1, 2)
        mean = values.mean(1, keepdim=True)
        return Cells(values, self.key_of_cell(values)), Memory(self.first_hidden(mean), self.first_cell(mean))

    def attend(self, cells: Cells, memory: Memory) -> tuple[Ahead, Tensor]:
        """Look at the cells after each of K prefixes.

        Return what no word has a part in, and where was looked [B, K, N].
        """
        photos, prefixes = memory.hidden.shape[:2]
        step = max(1, AT_ONCE // (photos * cells.keys.shape[1] * cells.keys.shape[2]))
        wanted = self.key_of_hidden(memory.hidden)[:, :, None]
        energies = [
            self.energy((cells.keys[:, None] + wanted[:, at : at + step]).relu_()) for at in range(0, prefixes, step)
        ]
        looked = torch.cat(energies, 1).squeeze(3).softmax(2)
        seen = torch.sigmoid(self.gate(memory.hidden)) * (looked @ cells.values)
        from_seen = self.lstm.weight_ih[:, self.embedding.embedding_dim :]
        gates = F.linear(seen, from_seen, self.lstm.bias_ih)
        return Ahead(gates + F.linear(memory.hidden, self.lstm.weight_hh, self.lstm.bias_hh), memory.cell), looked

    def read(self, ahead: Ahead, words: Tensor) -> tuple[Tensor, Memory]:
        """Read a word after each prefix, [B, K] int64, or [K] of all photos.

        Return the log-probabilities of the next one [B, K, V], and the memory then.
        """
        from_word = self.lstm.weight_ih[:, : self.embedding.embedding_dim]
        gates = ahead.gates + F.linear(self.embedding(words), from_word)
        take, keep, new, show = gates.chunk(4, dim=2)  # in the order of torch's LSTM
        cell = torch.sigmoid(keep) * ahead.cell + torch.sigmoid(take) * torch.tanh(new)
        hidden = torch.sigmoid(show) * torch.tanh(cell)
        return F.log_softmax(self.words(self.dropout(hidden)), dim=2), Memory(hidden, cell)

    def loss(self, found: Tensor, paths: Tensor) -> Tensor:
        """Return the mean cross-entropy of the words of the true paths [B], plus what uneven looks cost; a scalar."""
        cells, memory = self.look(found)
        spelled = self.spelled[paths]
        read, written = spelled[:, :-1].clamp_min(0), spelled[:, 1:]
        logs, looks = [], []
        for at in range(read.shape[1]):
            ahead, looked = self.attend(cells, memory)
            log, memory = self.read(ahead, read[:, at : at + 1])
            logs.append(log)
            looks.append(looked)
        known = written >= 0
        cross = F.nll_loss(torch.cat(logs, 1)[known], written[known])
        often = (torch.cat(looks, 1) * known[:, :, None]).sum(1) / known.sum(1, keepdim=True)  # of each cell
        return cross + self.even * (often * often.shape[1] - 1.0).square().mean()

    def looks(self, found: Tensor, path: int, beneath: Sequence[Tensor]) -> Tensor:
        """Return where is looked for each level of a path in a map [1, C, h, w], [T, N, N], each summing to one."""
        cells, memory = self.look(found)
        looks = []
        for word in self.spelled[path, : len(beneath)]:
            ahead, looked = self.attend(cells, memory)
            _, memory = self.read(ahead, word.view(1, 1))
            looks.append(looked[0, 0])
        return torch.stack(looks).view(-1, *(min(self.cells, side) for side in found.shape[2:]))

    def forward(self, found: Tensor) -> Tensor:
        """Return the log-probability of every path of the taxonomy [B, P], its end included."""
        return decoding.exact(self, *self.look(found))
