"""What values products have in a column: how often each text, and how far numbers reach."""

import collections
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from visnet.serving.app.answers.catalog import CatalogColumn
from visnet.serving.app.answers.counts import Bin, Count, Numbers
from visnet.serving.app.columns import ProductColumns
from visnet.serving.app.filters import And, Below, Filter
from visnet.serving.app.problems import Refusal
from visnet.serving.app.within import Within
from visnet.serving.columns.values import Column, ListColumn, NumberColumn, TextColumn, alike
from visnet.serving.live.products import LiveProduct
from visnet.serving.pace import breathe

VALUES = 100  # of a text column that are told, the most frequent ones
BINS = 10
LEVELS = (
    "; a column with a slash after its name is of paths, whose levels are counted one at a time: `category/` counts "
    "the first ones, or where the filter asks for what is `below` a path, those right below that"
)
FACETS = f"columns whose values are counted over the best 2,048 answers, with commas between them{LEVELS}"


class AskedFacet(NamedTuple):
    """What is to be counted: a column's values or, where they are paths, their levels right below one.

    name: as it was asked for. above: the path below which levels are counted, "" for the first, None for whole values.
    """

    name: str
    column: str
    above: str | None


def facets(
    columns: ProductColumns, wanted: Sequence[AskedFacet], entries: np.ndarray, changed: Sequence[LiveProduct] = ()
) -> dict[str, list[Count] | Numbers]:
    """Count the values of columns over products of the version, given as their entries [N] int, and over changed ones.

    422 for an unknown column, and for levels of numbers.
    """
    return {one.name: _facet(columns, column_of(columns, one), one.above, entries, changed) for one in wanted}


def asked(text: str | None, within: Filter | None = None) -> tuple[AskedFacet, ...]:
    """Read which facets are asked for: names with commas between them, none where none is said.

    within: the filter, which says below which path levels are counted.
    """
    found = []
    for name in dict.fromkeys(filter(None, (text or "").split(","))):
        column = name.removesuffix("/")
        found.append(AskedFacet(name, column, None if column == name else _above(column, within)))
    return tuple(found)


def column_of(columns: ProductColumns, facet: AskedFacet) -> Column:
    """Return the column that a facet counts; 422 for one that is not there, or has no levels."""
    column = columns.column(facet.column, "facets")
    if facet.above is not None and isinstance(column, NumberColumn):
        raise Refusal(422, f"facets: column {facet.column!r} is of numbers, which have no levels; leave the slash out")
    return column


def _above(column: str, within: Filter | None) -> str:
    """Return the longest path that a filter keeps to in a column, "" for none."""
    parts = within.parts if isinstance(within, And) else (within,)
    return max((part.below for part in parts if isinstance(part, Below) and part.column == column), key=len, default="")


def described(columns: ProductColumns, within: Within) -> list[CatalogColumn]:
    """Say what columns there are, and which values the products that may answer have in each."""
    every = np.flatnonzero(within.entries)
    found = []
    for column in columns:
        if isinstance(column, NumberColumn):
            numbers = _numbers(columns, column, every, within.changed)
            found.append(CatalogColumn(name=column.name, kind="number", min=numbers.min, max=numbers.max))
        else:
            distinct, values = _texts(columns, column, every, within.changed)
            found.append(CatalogColumn(name=column.name, kind="text", distinct=distinct, values=values))
        breathe()
    return found


def _facet(
    columns: ProductColumns,
    column: Column,
    above: str | None,
    entries: np.ndarray,
    changed: Sequence[LiveProduct],
) -> list[Count] | Numbers:
    if isinstance(column, NumberColumn):
        return _numbers(columns, column, entries, changed)
    return _texts(columns, column, entries, changed, above)[1]


def _texts(
    columns: ProductColumns,
    column: TextColumn | ListColumn,
    entries: np.ndarray,
    changed: Sequence[LiveProduct],
    above: str | None = None,
) -> tuple[int, list[Count]]:
    """Count texts; return how many there are, and the most frequent ones, equally frequent ones in their order.

    above: of paths, those right below this one.
    """
    shown = column.take(entries)
    shown = shown if above is None else shown.levels(above)
    at, codes = shown.pairs()
    counts = np.bincount(codes[columns.firsts(entries[at], codes)], minlength=len(shown.texts))
    there = np.flatnonzero(counts)
    if not changed:  # then all but the most frequent texts need not be read
        most = there[np.argsort(-counts[there], kind="stable")[:VALUES]]
        pairs = list(zip(shown.texts.take(pa.array(most)).to_pylist(), counts[most].tolist(), strict=True))
        return len(there), [Count(value=value, count=count) for value, count in pairs]
    own = alike(column, [product.said(column.name) for product in changed])
    assert not isinstance(own, NumberColumn)
    own = own if above is None else own.levels(above)
    found = collections.Counter(str(own.values[code]) for code in own.pairs()[1])
    found.update(dict(zip(map(str, shown.values[there]), counts[there].tolist(), strict=True)))
    pairs = sorted(sorted(found.items()), key=lambda pair: -pair[1])[:VALUES]
    return len(found), [Count(value=value, count=count) for value, count in pairs]


def _numbers(
    columns: ProductColumns, column: NumberColumn, entries: np.ndarray, changed: Sequence[LiveProduct]
) -> Numbers:
    values = column.said[columns.once(entries)]
    if changed:
        own = alike(column, [product.said(column.name) for product in changed])
        assert isinstance(own, NumberColumn)
        values = np.concatenate([values, own.said])
    values = values[~np.isnan(values)]
    if not len(values):
        return Numbers(min=None, max=None, histogram=[])
    least, most = float(values.min()), float(values.max())
    edges = np.linspace(least, most, BINS + 1) if most - least not in (0.0, np.inf) else np.array([least, most])
    counts = np.bincount(np.searchsorted(edges[1:-1], values, side="right"), minlength=len(edges) - 1)
    bins = zip(edges.tolist(), edges[1:].tolist(), counts.tolist(), strict=False)
    return Numbers(min=least, max=most, histogram=[Bin(min=low, max=high, count=n) for low, high, n in bins])
