"""Whether a peer's answer is ours: the same rows of each query, except where scores tie as float32 sees them."""

from typing import Any

import torch
from torch import Tensor

TIE = 2.0**-20  # of the terms' size: what float32 sums of such vectors lose


def agreement(found: Tensor, theirs: Any, queries: Tensor, gallery: Tensor, metric: str) -> float:
    """Return the share of our answers, rows [Q, K], that a peer gives too or replaces by one of equal score.

    Rows that one side alone has are scored in float64 and paired in order of score.
    """
    ours = found.cpu()
    peer = torch.as_tensor(theirs).cpu().to(torch.int64)
    if peer.shape != ours.shape:
        return 0.0
    agreed = 0
    for query in range(ours.shape[0]):
        mine, other = set(ours[query].tolist()), set(peer[query].tolist())
        agreed += len(mine & other)
        only_mine, only_other = sorted(mine - other), sorted(row for row in other - mine if row >= 0)
        if only_mine and only_other:
            agreed += _ties(queries[query], gallery, only_mine, only_other, metric)
    return agreed / max(ours.numel(), 1)


def _ties(query: Tensor, gallery: Tensor, mine: list[int], other: list[int], metric: str) -> int:
    paired = min(len(mine), len(other))
    query = query.double()
    rows = [gallery[torch.tensor(rows, device=gallery.device)].double() for rows in (mine, other)]
    ours, theirs = (_costs(query, part, metric).sort().values[:paired] for part in rows)
    longest = torch.stack([torch.linalg.vector_norm(part, dim=1).max() for part in rows]).max()
    length = torch.linalg.vector_norm(query)
    size = {"sq_euclidean": length.square() + longest.square(), "inner_product": length * longest}.get(metric, 1.0)
    return int(((ours - theirs).abs() <= TIE * size).sum())


def _costs(query: Tensor, rows: Tensor, metric: str) -> Tensor:
    if metric == "sq_euclidean":
        return (rows - query).square().sum(dim=1)
    if metric == "cosine":
        query, rows = (torch.nn.functional.normalize(each, dim=-1) for each in (query, rows))
    return -(rows @ query)
