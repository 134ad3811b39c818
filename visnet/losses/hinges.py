"""The hinge on triplets, on squared distances (FaceNet) and on plain ones, with negatives given or of the batch."""

from typing import Literal

import torch
from torch import Tensor

from visnet.losses.distances import corners, distance, sq_distance, widened
from visnet.losses.limits import one_of, within

Negatives = Literal["given", "batch", "hard", "semi_hard"]
Swap = Literal["none", "nearer", "both"]


def sq_hinge(
    embeddings: Tensor,
    triplets: Tensor,
    labels: Tensor,
    *,
    margin: float = 0.2,
    negatives: Negatives = "given",
    swap: Swap = "none",
) -> Tensor:
    """Return max(0, d²(q, p) − d²(q, n) + margin) per triplet, [T] float32, on squared Euclidean distances.

    `negatives="given"` takes each triplet's own n; the others take photos of other products in the batch instead, and
    give zero where there are none. `"batch"`: all of them, and a triplet's value is the mean over those that are still
    inside the margin. `"hard"`: the nearest to q. `"semi_hard"`: the nearest that is farther than p, or the farthest
    if none is (FaceNet).

    `swap="nearer"` measures n from q or p, whichever is nearer: min(d²(q, n), d²(p, n)). `"both"` is the sum of the
    hinge from q and the one from p, max(0, d²(q, p) − d²(p, n) + margin). Both need `negatives="given"`.
    """
    return _hinge(embeddings, triplets, labels, margin, negatives, swap, sq=True)


def hinge(
    embeddings: Tensor,
    triplets: Tensor,
    labels: Tensor,
    *,
    margin: float = 1.0,
    negatives: Negatives = "given",
    swap: Swap = "none",
) -> Tensor:
    """Return max(0, d(q, p) − d(q, n) + margin) per triplet, [T] float32, on plain Euclidean distances.

    `negatives` and `swap` are those of `sq_hinge`; `swap="both"` is MILDNet's `hinge_new`, clamped per triplet.
    """
    return _hinge(embeddings, triplets, labels, margin, negatives, swap, sq=False)


def batch_negatives(
    embeddings: Tensor, labels: Tensor, pairs: Tensor, *, margin: float = 0.2, sq: bool = True
) -> Tensor:
    """Return the hinge of each pair (q, p) against every photo of another product, averaged where it is above zero.

    `embeddings` [B, D], `labels` [B] int64, `pairs` [P, 2] int64 rows; gives [P] float32, zero for a pair that no photo
    of another product comes near. The mean is over the active photos only: many easy ones must not drown the rest.
    """
    embeddings = widened(embeddings)
    query, positive = embeddings[pairs].unbind(1)
    near = sq_distance(query, positive) if sq else distance(query, positive)
    far = _all_distances(query, embeddings)
    if sq:
        far = far.square()
    other = labels[pairs[:, 0], None] != labels
    inside = (near[:, None] - far + margin).clamp_min(0.0) * other
    return inside.sum(1) / (inside > 0).sum(1).clamp_min(1)


def mined_negatives(embeddings: Tensor, labels: Tensor, pairs: Tensor, *, kind: Literal["hard", "semi_hard"]) -> Tensor:
    """Find for each pair (q, p) one photo of another product, [P] int64 rows; −1 where the batch has none.

    `embeddings` [B, D], `labels` [B] int64, `pairs` [P, 2] int64 rows. "hard" is the photo nearest to q; "semi_hard"
    the nearest that is farther than p, or the farthest if none is.
    """
    with torch.no_grad():
        embeddings = widened(embeddings)
        far = _all_distances(embeddings[pairs[:, 0]], embeddings)
        near = far.gather(1, pairs[:, 1:])  # by the same kernel: a copy of p must not come out farther than p
        other = labels[pairs[:, 0], None] != labels
        chosen = far.masked_fill(~other, torch.inf).argmin(1)
        if kind == "semi_hard":
            farther = other & (far > near)
            semi = far.masked_fill(~farther, torch.inf).argmin(1)
            farthest = far.masked_fill(~other, -torch.inf).argmax(1)
            chosen = torch.where(farther.any(1), semi, farthest)
        return chosen.masked_fill(~other.any(1), -1)


def _hinge(
    embeddings: Tensor, triplets: Tensor, labels: Tensor, margin: float, negatives: Negatives, swap: Swap, *, sq: bool
) -> Tensor:
    within("margin", margin, least=0.0)
    one_of("negatives", negatives, Negatives)
    one_of("swap", swap, Swap)
    if swap != "none" and negatives != "given":
        raise ValueError(f"swap = {swap!r} needs negatives = 'given', they are {negatives!r}")
    if negatives == "batch":
        return batch_negatives(embeddings, labels, triplets[:, :2], margin=margin, sq=sq)
    if negatives == "given":
        return _on_given(embeddings, triplets, margin, swap, sq=sq)
    mined = mined_negatives(embeddings, labels, triplets[:, :2], kind=negatives)
    triplets = torch.cat((triplets[:, :2], mined.clamp_min(0)[:, None]), 1)
    return _on_given(embeddings, triplets, margin, swap, sq=sq) * (mined >= 0)


def _on_given(embeddings: Tensor, triplets: Tensor, margin: float, swap: Swap, *, sq: bool) -> Tensor:
    measure = sq_distance if sq else distance
    query, positive, negative = corners(embeddings, triplets)
    near, far = measure(query, positive), measure(query, negative)
    if swap == "nearer":
        far = torch.minimum(far, measure(positive, negative))
    values = (near - far + margin).clamp_min(0.0)
    if swap == "both":
        values = values + (near - measure(positive, negative) + margin).clamp_min(0.0)
    return values


def _all_distances(query: Tensor, embeddings: Tensor) -> Tensor:
    return torch.cdist(query, embeddings, compute_mode="donot_use_mm_for_euclid_dist")
