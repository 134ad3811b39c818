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
