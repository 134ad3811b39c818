"""The hardest examples of a whole training set: the nearest photos of other products, the farthest of the same."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from kernels.nearest import Gallery, Neighbors, nearest, pack_bits
from kernels.nearest.score import nothing, pair_scores
from visnet.pipeline.log import SILENT, Log
from visnet.search.products import blocks

CROWD = 128  # a product of so many photos is masked; those of smaller ones are found too, and dropped

Numbers = np.ndarray | Tensor
Part = tuple[Tensor, Neighbors]  # places among the anchors, and what was found for them


def hardest_negatives(
    embeddings: Tensor,
    labels: Numbers,
    k: int = 1,
    *,
    anchors: Numbers | None = None,
    distinct: bool = True,
    metric: str = "sq_euclidean",
    log: Log = SILENT,
) -> Neighbors:
    """Find each anchor's k nearest photos of other products, exactly, in flat memory.

    embeddings: [N, D]; labels: [N] integers, equal for photos of one product; anchors: [A] rows of embeddings, all
    where left out. distinct: of a product at most its nearest photo, so that the answer is the k hardest products;
    otherwise the k hardest photos. Returns Neighbors of A queries and min(k, N) columns: rows of embeddings, hardest
    first, equal scores in the order of their rows, −1 where there are no more. ValueError says what does not fit.
    """
    gallery = Gallery(embeddings, metric=metric)
    code, anchor = _coded(embeddings, labels, k, anchors)
    find = _products if distinct else _photos
    return _collected(find, gallery, code, anchor, min(k, len(code)), log)


def hardest_positives(
    embeddings: Tensor,
    labels: Numbers,
    k: int = 1,
    *,
    anchors: Numbers | None = None,
    metric: str = "sq_euclidean",
    log: Log = SILENT,
) -> Neighbors:
    """Find each anchor's k farthest photos of its own product, itself left out, exactly, in flat memory.

    Takes and returns what `hardest_negatives` does; here the farthest, or the least similar, comes first.
    """
    gallery = Gallery(embeddings, metric=metric, backend="reference")  # checked; not scanned, so nothing is copied
    code, anchor = _coded(embeddings, labels, k, anchors)
    return _collected(_positives, gallery, code, anchor, min(k, len(code)), log)


def _collected(
    find: Callable[[Gallery, Tensor, Tensor, int], Iterator[Part]],
    gallery: Gallery,
    code: Tensor,
    anchor: Tensor,
    k: int,
    log: Log,
) -> Neighbors:
    shape, device = (len(anchor), k), code.device
    score, row = torch.zeros(shape, device=device), torch.full(shape, -1, device=device)
    proven = torch.ones(len(anchor), dtype=torch.bool, device=device)
    with log.progress("anchors", len(anchor), unit="anchor") as progress:
        for place, part in find(gallery, code, anchor, k):
            width = part.row.shape[1]
            score[place, :width], row[place, :width], proven[place] = part.score, part.row, part.proven
            progress.advance(len(place))
    return Neighbors(score.masked_fill_(row < 0, nothing(gallery.metric)), row, proven)


def _products(gallery: Gallery, code: Tensor, anchor: Tensor, k: int) -> Iterator[Part]:
    for place, take in _blocks(torch.full_like(anchor, k)):
        own = anchor[place]
        yield place, nearest(gallery.vectors[own], gallery, take, group=code, exclude=code[own])


def _photos(gallery: Gallery, code: Tensor, anchor: Tensor, k: int) -> Iterator[Part]:
    photos = torch.bincount(code)[code[anchor]]
    few, many = (torch.nonzero(which)[:, 0] for which in (photos < CROWD, photos >= CROWD))
    for block, take in _blocks((photos[few] + k).clamp(max=len(code))):
        own = anchor[few[block]]
        found = nearest(gallery.vectors[own], gallery, take)
        yield few[block], _kept(found, code[found.row] != code[own, None], k)
    for label in torch.unique(code[anchor[many]]):
        crowd, others = many[code[anchor[many]] == label], pack_bits(code != label)
        for block, take in _blocks(torch.full_like(crowd, k)):
            yield crowd[block], nearest(gallery.vectors[anchor[crowd[block]]], gallery, take, valid=others)


def _positives(gallery: Gallery, code: Tensor, anchor: Tensor, k: int) -> Iterator[Part]:
    photos = torch.bincount(code)
    order, first = torch.argsort(code, stable=True), photos.cumsum(0) - photos
    for place, take in _blocks(photos[code[anchor]]):
        own = anchor[place]
        count, column = photos[code[own], None], torch.arange(take, device=code.device)
        row = order[first[code[own], None] + column.minimum(count - 1)]
        there = (column < count) & (row != own[:, None])
        score = pair_scores(gallery.vectors[own], gallery.vectors, row.masked_fill(~there, -1), gallery.metric)
        worst_first = score.argsort(dim=1, descending=gallery.metric == "sq_euclidean", stable=True)
        found = Neighbors(score.gather(1, worst_first), row.gather(1, worst_first), there.new_ones(len(own)))
        yield place, _kept(found, there.gather(1, worst_first), k)


def _kept(found: Neighbors, keep: Tensor, k: int) -> Neighbors:
    """Keep of each query, [Q, K] bool, the first k that are marked, in their order."""
    first = torch.argsort(~keep, dim=1, stable=True)[:, :k]
    row = found.row.gather(1, first).masked_fill(~keep.gather(1, first), -1)
    return Neighbors(found.score.gather(1, first), row, found.proven)


def _blocks(columns: Tensor) -> Iterator[tuple[Tensor, int]]:
    for block, most in blocks(columns.cpu().numpy()):
        yield torch.from_numpy(block).to(columns.device), most


def _coded(embeddings: Tensor, labels: Numbers, k: int, anchors: Numbers | None) -> tuple[Tensor, Tensor]:
    """Check what is asked for, and number the labels: [N] int64 from 0, and the anchors' rows [A] int64."""
    if np.shape(labels) != embeddings.shape[:1]:
        raise ValueError(
            f"labels are {tuple(np.shape(labels))} for vectors {tuple(embeddings.shape)}; needed: one each"
        )
    if k < 1:
        raise ValueError(f"k is {k}; allowed is 1 or more")
    device, count = embeddings.device, len(embeddings)
    code = torch.unique(torch.as_tensor(labels).to(device), return_inverse=True)[1]
    anchor = torch.arange(count) if anchors is None else torch.as_tensor(anchors)
    if anchor.ndim != 1 or anchor.is_floating_point() or anchor.dtype == torch.bool:
        raise ValueError(f"anchors are {anchor.dtype} {tuple(anchor.shape)}; needed are row numbers [A]")
    if anchor.numel() and not 0 <= int(anchor.min()) <= int(anchor.max()) < count:
        raise ValueError(f"anchors run from {int(anchor.min())} to {int(anchor.max())}; rows are 0 to {count - 1}")
    return code, anchor.long().to(device)
