"""Small taxonomies, and a decoder whose weights are drawn."""

import torch

from visnet.categorizing.attention import AttentionHead
from visnet.categorizing.decoding import Cells, Memory
from visnet.taxonomy.tree import Taxonomy

CHANNELS = 6

# Paths of one to three levels; one name under two parents, and one path that goes on in others.
SHOP = Taxonomy.of(
    [
        "Bags",
        "Men/Ethnic Wear/Jackets",
        "Men/Ethnic Wear/Kurta",
        "Men/Western Wear/Jackets",
        "Men/Western Wear/Jeans",
        "Shoes",
        "Shoes/Boots",
        "Women/Western Wear/Jackets",
        "Women/Sarees",
    ]
)


def drawn(taxonomy: Taxonomy, seed: int, spread: float = 3.0) -> AttentionHead:
    """Return a decoder with weights so far apart that its paths differ."""
    torch.manual_seed(seed)
    head = AttentionHead(taxonomy, CHANNELS, cells=3, width=8).eval()
    with torch.no_grad():
        for weight in (head.words.weight, head.embedding.weight):
            weight.mul_(10.0 * spread)
    return head


def looked(head: AttentionHead, photos: int, seed: int) -> tuple[Cells, Memory]:
    """Return what a decoder sees of maps that are drawn."""
    maps = torch.randn(photos, CHANNELS, 4, 4, generator=torch.Generator().manual_seed(seed))
    return head.look(maps)


def spelled(head: AttentionHead, cells: Cells, memory: Memory, word: int) -> tuple[torch.Tensor, Memory, torch.Tensor]:
    """Read one word as it is published, by torch's own LSTM: one photo, one prefix, nothing shared with another.

    Return the log-probabilities of the next one [1, 1, V], the memory then, and where was looked [1, 1, N].
    """
    hidden, cell = memory.hidden[:, 0], memory.cell[:, 0]
    energy = head.energy(torch.relu(cells.keys + head.key_of_hidden(hidden)[:, None]))[:, :, 0]
    looked = energy.softmax(1)
    seen = torch.sigmoid(head.gate(hidden)) * (looked[:, :, None] * cells.values).sum(1)
    read = torch.cat([head.embedding(torch.tensor([word])), seen], dim=1)
    hidden, cell = head.lstm(read, (hidden, cell))
    log = head.words(head.dropout(hidden)).log_softmax(1)
    return log[:, None], Memory(hidden[:, None], cell[:, None]), looked[:, None]
