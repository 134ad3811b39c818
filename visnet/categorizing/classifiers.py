"""The plain rivals of a decoder: classifiers over all paths, of which one also learns from every level above."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visnet.taxonomy.tree import Taxonomy

LEAST = 1e-12  # of a probability whose logarithm is taken


class LeavesHead(nn.Module):
    """Classify over the paths, whatever they have in common; takes the trunk's map [B, C, h, w]."""

    def __init__(self, taxonomy: Taxonomy, channels: int, *, dropout: float = 0.2) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.paths = nn.Linear(channels, len(taxonomy.paths))

    def forward(self, found: Tensor) -> Tensor:
        """Return the log-probability of every path [B, P]."""
        return F.log_softmax(self.paths(self.dropout(found.mean((2, 3)))), dim=1)

    def looks(self, found: Tensor, path: int, beneath: Sequence[Tensor]) -> Tensor:
        """Return what speaks for each level of a path in a map [1, C, h, w], [T, h, w], at least 0.

        The class activation map (arXiv 1512.04150) of the paths beneath the level's node, by how likely each is, less
        that of all others.
        """
        likely = self(found)[0].exp()
        looks = []
        for own in beneath:
            inside = torch.zeros_like(likely).index_fill_(0, own, 1.0)
            parts = [likely * part for part in (inside, 1.0 - inside)]
            weight = sum(
                sign * (part / part.sum().clamp_min(LEAST)) @ self.paths.weight
                for sign, part in zip((1.0, -1.0), parts, strict=True)
            )
            looks.append(torch.einsum("c,chw->hw", weight, found[0]).relu())
        return torch.stack(looks)

    def loss(self, found: Tensor, paths: Tensor) -> Tensor:
        """Return the mean cross-entropy of the true paths [B]."""
        return F.nll_loss(self(found), paths)


class LevelsHead(LeavesHead):
    """The same classifier, whose loss is the cross-entropy of every level's node: a path's own and all above it.

    A node's probability is the sum of those of the paths through it, so that levels never contradict each other.
    """

    nodes: Tensor
    through: Tensor

    def __init__(self, taxonomy: Taxonomy, channels: int, *, dropout: float = 0.2) -> None:
        super().__init__(taxonomy, channels, dropout=dropout)
        nodes = torch.tensor(taxonomy.ancestors)
        self.register_buffer("nodes", nodes, persistent=False)
        through = F.one_hot(nodes + 1, len(taxonomy.nodes) + 1)[:, :, 1:].sum(1)
        self.register_buffer("through", through.float(), persistent=False)  # [P, N]

    def loss(self, found: Tensor, paths: Tensor) -> Tensor:
        """Return the mean over the levels of the true paths [B] of the cross-entropy of their nodes."""
        scores = self(found)
        nodes = self.nodes[paths]
        with torch.autocast(scores.device.type, enabled=False):  # a sum in half precision is off where it is near 1
            above = (scores.float().exp() @ self.through).clamp_min(LEAST).log().gather(1, nodes.clamp_min(0))
        ends = nodes == nodes.amax(1, keepdim=True)  # the deepest node comes last; the path itself is told exactly
        logs = torch.where(ends, scores.gather(1, paths[:, None]), above)
        known = nodes >= 0
        return -(logs * known).sum(1).div(known.sum(1)).mean()
