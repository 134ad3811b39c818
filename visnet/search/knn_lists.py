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
from visnet.search.sharded import Searched, products_of

Ints = NDArray[np.int64]
GONE = -2  # in the place of a row: the photo that stood there is no more
SPARE = 1.5  # a list keeps this many times what is asked for: a search anew is due after that many of its products went


@dataclass(frozen=True)
class Lists:
    """The lists of Q queries, W wide.

    row: [Q, W] int64, the nearest photo of each product as a row of the gallery, nearest first, then −1.
    sq_distance: [Q, W] float32, inf beside −1. reach: the key up to which a list is complete, (sq_distance [Q] float32,
    row [Q] int64); inf when it holds every product there is.
    """

    row: Ints
    sq_distance: NDArray[np.float32]
    reach_sq_distance: NDArray[np.float32]
    reach_row: Ints

    def __len__(self) -> int:
        return len(self.row)

    def of(self, numbers: Ints | NDArray[np.bool_]) -> "Lists":
        """Take some of the lists."""
        return Lists(
            self.row[numbers], self.sq_distance[numbers], self.reach_sq_distance[numbers], self.reach_row[numbers]
        )

    def put(self, numbers: Ints | NDArray[np.bool_], others: "Lists") -> None:
        """Replace some of the lists, in place."""
        self.row[numbers], self.sq_distance[numbers] = others.row, others.sq_distance
        self.reach_sq_distance[numbers], self.reach_row[numbers] = others.reach_sq_distance, others.reach_row


@dataclass(frozen=True)
class Queries:
    """The queries of a category, Q in number, and the gallery [G, D] with its products' numbers [G] that they search.

    vectors: [V, D]; query_of: [V] int64, the query that each vector is of, 0 to Q − 1: a product asks with all of its
    photos. excluded: [Q] int64, a product that is no answer to this query, −1 for none.
    """

    gallery: Tensor
    product: Ints
    vectors: Tensor
    query_of: Ints
    excluded: Ints


def nothing(count: int, width: int) -> Lists:
    """Return lists that say nothing yet, not even that they are empty."""
    return Lists(
        np.full((count, width), -1, np.int64), np.full((count, width), np.inf, np.float32),
        np.full(count, -1, np.float32), np.full(count, -1, np.int64),
    )  # fmt: skip


def search(queries: Queries, width: int, numbers: Ints | None = None, gallery: Searched | None = None) -> Lists:
    """Search the whole gallery for some queries (or all), by their numbers: their lists in the order asked for."""
    asked = np.arange(len(queries.excluded)) if numbers is None else numbers
    place = np.full(len(queries.excluded), -1, np.int64)
    place[asked] = np.arange(len(asked))
    mine = np.flatnonzero(place[queries.query_of] >= 0)
    if not len(mine) or not len(queries.product):
        return replace(nothing(len(asked), width), reach_sq_distance=np.full(len(asked), np.inf, np.float32))
    found = products_of(
        queries.vectors[torch.from_numpy(mine)],
        Gallery(queries.gallery) if gallery is None else gallery,
        queries.product,
        width,
        exclude=queries.excluded[queries.query_of[mine]],
    )
    there = found.row >= 0
    query = np.repeat(place[queries.query_of[mine]], width).reshape(there.shape)[there]
    # Each vector has its `width` nearest products, so that together they have those of the query.
    return _merged(len(asked), width, query, found.row[there], found.sq_distance[there], queries.product)


def update(
    lists: Lists, queries: Queries, touched: NDArray[np.bool_], k: int, gallery: Searched | None = None
) -> tuple[Lists, Ints, Ints]:
    """Bring lists up to a gallery in which all photos of the `touched` products are new, and no other ones.

    lists: of the `queries`, in its rows; those whose queries changed say nothing (`nothing`). touched: bool
    [products]; their entries, and those that are `GONE`, are struck out. Returns the lists, the numbers of the queries
    that were brought up to date, and of those that were searched for again because fewer than k were left.
    """
    width = lists.row.shape[1]
    there = lists.row >= 0
    struck = lists.row == GONE
    if len(queries.product):
        struck |= there & touched[queries.product[np.where(there, lists.row, 0)]]
    query, column = np.nonzero(there & ~struck)
    rows, distances = lists.row[query, column], lists.sq_distance[query, column]
    came_query, came_row, came_distance = _within_reach(lists, queries, touched)
    affected = struck.any(axis=1)
    affected[came_query] = True
    keep = affected[query]
    numbers = np.flatnonzero(affected)
    place = np.zeros(len(lists), np.int64)
    place[numbers] = np.arange(len(numbers))
    merged = _merged(
        len(numbers), width,
        place[np.concatenate([query[keep], came_query])], np.concatenate([rows[keep], came_row]),
        np.concatenate([distances[keep], came_distance]), queries.product, lists.of(numbers),
    )  # fmt: skip
    made = Lists(lists.row.copy(), lists.sq_distance.copy(), lists.reach_sq_distance.copy(), lists.reach_row.copy())
    made.put(numbers, merged)
    short = np.flatnonzero(((made.row >= 0).sum(axis=1) < k) & np.isfinite(made.reach_sq_distance))
    if len(short):
        made.put(short, search(queries, width, short, gallery))
    return made, np.setdiff1d(numbers, short), short


def _within_reach(lists: Lists, queries: Queries, touched: NDArray[np.bool_]) -> tuple[Ints, Ints, NDArray[np.float32]]:
    """List the new photos that come within reach of a list: its query, the gallery's row, and the distance."""
    new = np.flatnonzero(touched[queries.product]) if len(queries.product) else np.empty(0, np.int64)
    limit = lists.reach_sq_distance[queries.query_of]
    found = pairs_within(queries.gallery[torch.from_numpy(new)], queries.vectors, torch.from_numpy(limit))
    vector, row, distance = found.row.cpu().numpy(), new[found.query.cpu().numpy()], found.sq_distance.cpu().numpy()
    query = queries.query_of[vector]
    reach = (lists.reach_sq_distance[query], lists.reach_row[query])
    near = (distance < reach[0]) | ((distance == reach[0]) & ((row <= reach[1]) | np.isinf(reach[0])))
    near &= queries.product[row] != queries.excluded[query]
    return query[near], row[near], distance[near]


def _merged(
    count: int,
    width: int,
    query: Ints,
    row: Ints,
    sq_distance: NDArray[np.float32],
    product: Ints,
    before: Lists | None = None,
) -> Lists:
    """Lay entries out as lists: each product once, by its nearest photo. What does not fit is cut, as is the reach."""
    order = np.lexsort((row, sq_distance, query))
    query, row, sq_distance = query[order], row[order], sq_distance[order]
    _, first = np.unique(query * (int(product.max(initial=0)) + 1) + product[row], return_index=True)
    first.sort()
    query, row, sq_distance = query[first], row[first], sq_distance[first]
    entries = np.bincount(query, minlength=count)
    rank = np.arange(len(query)) - np.repeat(np.cumsum(entries) - entries, entries)
    fits = rank < width
    made = nothing(count, width)
    made.row[query[fits], rank[fits]] = row[fits]
    made.sq_distance[query[fits], rank[fits]] = sq_distance[fits]
    if before is None:  # of a search: a list that is not full has all there are
        cut = entries >= width
        made.reach_sq_distance[:] = np.inf
    else:
        cut = entries > width
        made.reach_sq_distance[:], made.reach_row[:] = before.reach_sq_distance, before.reach_row
    if width:
        made.reach_sq_distance[cut], made.reach_row[cut] = made.sq_distance[cut, -1], made.row[cut, -1]
    return made
