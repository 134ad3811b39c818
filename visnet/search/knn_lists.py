"""Lists of the nearest products that stay exact while the catalog changes.

A list keeps more products than are asked for, and how far it reaches: every product whose nearest photo is not beyond
`reach` stands in it. A product that goes is struck out; one that comes is put where it belongs, if it is within reach.
While a list has as many as are asked for, its head is what a full search would give, to the bit; else it is searched
for again. Photos at one distance are in the order of the gallery's rows, and so must be the rows' keys (crop ids).
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kernels.nearest import Gallery, pairs_within
from visnet.search.products import nearest_products

Ints = NDArray[np.int64]
GONE = -2  # in the place of a row: the photo that stood there is no more
SPARE = 1.5  # a list keeps this many times what is asked for: a search anew is due after that many of its products went


@dataclass(frozen=True)
class Lists:
    """Lists of O owners, W wide.

    row: [O, W] int64, the nearest photo of each product as a row of the gallery, nearest first, then −1.
    sq_distance: [O, W] float32, inf beside −1. reach: the key up to which a list is complete, (sq_distance [O] float32,
    row [O] int64); inf when it holds every product there is.
    """

    row: Ints
    sq_distance: NDArray[np.float32]
    reach_sq_distance: NDArray[np.float32]
    reach_row: Ints

    def __len__(self) -> int:
        return len(self.row)

    def of(self, owners: Ints | NDArray[np.bool_]) -> "Lists":
        """Take some of the lists."""
        return Lists(self.row[owners], self.sq_distance[owners], self.reach_sq_distance[owners], self.reach_row[owners])

    def put(self, owners: Ints | NDArray[np.bool_], others: "Lists") -> None:
        """Replace some of the lists, in place."""
        self.row[owners], self.sq_distance[owners] = others.row, others.sq_distance
        self.reach_sq_distance[owners], self.reach_row[owners] = others.reach_sq_distance, others.reach_row


@dataclass(frozen=True)
class Shelf:
    """What lists are made of: the gallery [G, D] with its products' numbers [G], and the queries of the owners.

    queries: [Q, D]; owner: [Q] int64, whose each query is, 0 to O − 1; own: [O] int64, a product that is no answer to
    this owner, −1 for none.
    """

    gallery: Tensor
    product: Ints
    queries: Tensor
    owner: Ints
    own: Ints


def nothing(owners: int, width: int) -> Lists:
    """Return lists that say nothing yet, not even that they are empty."""
    return Lists(
        np.full((owners, width), -1, np.int64), np.full((owners, width), np.inf, np.float32),
        np.full(owners, -1, np.float32), np.full(owners, -1, np.int64),
    )  # fmt: skip


def search(shelf: Shelf, width: int, owners: Ints | None = None, gallery: Gallery | None = None) -> Lists:
    """Search the whole gallery for some owners (or all): lists of O' owners in the order asked for."""
    asked = np.arange(len(shelf.own)) if owners is None else owners
    place = np.full(len(shelf.own), -1, np.int64)
    place[asked] = np.arange(len(asked))
    mine = np.flatnonzero(place[shelf.owner] >= 0)
    if not len(mine) or not len(shelf.product):
        return replace(nothing(len(asked), width), reach_sq_distance=np.full(len(asked), np.inf, np.float32))
    found = nearest_products(
        shelf.queries[torch.from_numpy(mine)],
        Gallery(shelf.gallery) if gallery is None else gallery,
        shelf.product,
        width,
        exclude=shelf.own[shelf.owner[mine]],
    )
    there = found.row >= 0
    owner = np.repeat(place[shelf.owner[mine]], width).reshape(there.shape)[there]
    # Each query has its `width` nearest products, so that together they have the owner's.
    return _merged(len(asked), width, owner, found.row[there], found.sq_distance[there], shelf.product)


def update(
    lists: Lists, shelf: Shelf, touched: NDArray[np.bool_], k: int, gallery: Gallery | None = None
) -> tuple[Lists, Ints, Ints]:
    """Bring lists up to a gallery in which all photos of the `touched` products are new, and no other ones.

    lists: of the owners of `shelf`, in its rows; those whose queries changed say nothing (`nothing`). touched: bool
    [products]; their entries, and those that are `GONE`, are struck out. Returns the lists, the numbers of the owners
    that were brought up to date, and of those that were searched for again because fewer than k were left.
    """
    width = lists.row.shape[1]
    there = lists.row >= 0
    struck = lists.row == GONE
    if len(shelf.product):
        struck |= there & touched[shelf.product[lists.row]]
    owner, column = np.nonzero(there & ~struck)
    rows, distances = lists.row[owner, column], lists.sq_distance[owner, column]
    came_owner, came_row, came_distance = _within_reach(lists, shelf, touched)
    affected = struck.any(axis=1)
    affected[came_owner] = True
    keep = affected[owner]
    numbers = np.flatnonzero(affected)
    place = np.zeros(len(lists), np.int64)
    place[numbers] = np.arange(len(numbers))
    merged = _merged(
        len(numbers), width,
        place[np.concatenate([owner[keep], came_owner])], np.concatenate([rows[keep], came_row]),
        np.concatenate([distances[keep], came_distance]), shelf.product, lists.of(numbers),
    )  # fmt: skip
    made = Lists(lists.row.copy(), lists.sq_distance.copy(), lists.reach_sq_distance.copy(), lists.reach_row.copy())
    made.put(numbers, merged)
    short = np.flatnonzero(((made.row >= 0).sum(axis=1) < k) & np.isfinite(made.reach_sq_distance))
    if len(short):
        made.put(short, search(shelf, width, short, gallery))
    return made, np.setdiff1d(numbers, short), short


def _within_reach(lists: Lists, shelf: Shelf, touched: NDArray[np.bool_]) -> tuple[Ints, Ints, NDArray[np.float32]]:
    """List the new photos that come within reach of a list: its owner, the gallery's row, and the distance."""
    new = np.flatnonzero(touched[shelf.product]) if len(shelf.product) else np.empty(0, np.int64)
    limit = lists.reach_sq_distance[shelf.owner]
    found = pairs_within(shelf.gallery[torch.from_numpy(new)], shelf.queries, torch.from_numpy(limit))
    query, row, distance = found.row.cpu().numpy(), new[found.query.cpu().numpy()], found.sq_distance.cpu().numpy()
    owner = shelf.owner[query]
    reach = (lists.reach_sq_distance[owner], lists.reach_row[owner])
    near = (distance < reach[0]) | ((distance == reach[0]) & ((row <= reach[1]) | np.isinf(reach[0])))
    near &= shelf.product[row] != shelf.own[owner]
    return owner[near], row[near], distance[near]


def _merged(
    owners: int,
    width: int,
    owner: Ints,
    row: Ints,
    sq_distance: NDArray[np.float32],
    product: Ints,
    before: Lists | None = None,
) -> Lists:
    """Lay entries out as lists: each product once, by its nearest photo. What does not fit is cut, as is the reach."""
    order = np.lexsort((row, sq_distance, owner))
    owner, row, sq_distance = owner[order], row[order], sq_distance[order]
    _, first = np.unique(owner * (int(product.max(initial=0)) + 1) + product[row], return_index=True)
    first.sort()
    owner, row, sq_distance = owner[first], row[first], sq_distance[first]
    count = np.bincount(owner, minlength=owners)
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    fits = rank < width
    made = nothing(owners, width)
    made.row[owner[fits], rank[fits]] = row[fits]
    made.sq_distance[owner[fits], rank[fits]] = sq_distance[fits]
    if before is None:  # of a search: a list that is not full has all there are
        cut = count >= width
        made.reach_sq_distance[:] = np.inf
    else:
        cut = count > width
        made.reach_sq_distance[:], made.reach_row[:] = before.reach_sq_distance, before.reach_row
    if width:
        made.reach_sq_distance[cut], made.reach_row[cut] = made.sq_distance[cut, -1], made.row[cut, -1]
    return made
