"""What values products have in a column: how often each text, and how far numbers reach."""

import collections
from collections.abc import Sequence

import numpy as np

from visnet.serving.app.answers.catalog import CatalogColumn
from visnet.serving.app.answers.counts import Bin, Count, Numbers
from visnet.serving.app.column_values import Column, NumberColumn, TextColumn, alike
from visnet.serving.app.columns import ProductColumns
from visnet.serving.app.within import Within
from visnet.serving.live.products import LiveProduct

VALUES = 100  # of a text column that are told, the most frequent ones
BINS = 10
FACETS = "columns whose values are counted over the best 2,048 answers, with commas between them"


def facets(
    columns: ProductColumns, names: Sequence[str], entries: np.ndarray, changed: Sequence[LiveProduct] = ()
) -> dict[str, list[Count] | Numbers]:
    """Count the values of columns over products of the version, given as their entries [N] int, and over changed ones.

    422 for an unknown column.
    """
    return {name: _facet(columns, columns.column(name, "facets"), entries, changed) for name in names}


def asked(text: str | None) -> tuple[str, ...]:
    """Read which facets are asked for: names with commas between them, none where none is said."""
    return tuple(dict.fromkeys(filter(None, (text or "").split(","))))


def described(columns: ProductColumns, within: Within) -> list[CatalogColumn]:
    """Say what columns there are, and which values the products that may answer have in each."""
    every = np.flatnonzero(within.entries)
    found = []
    for column in columns:
        if isinstance(column, NumberColumn):
            numbers = _numbers(columns, column, every, within.changed)
            found.append(CatalogColumn(name=column.name, kind="number", min=numbers.min, max=numbers.max))
        else:
            counts = _texts(columns, column, every, within.changed)
            values = _most_frequent(counts)
            found.append(CatalogColumn(name=column.name, kind="text", distinct=len(counts), values=values))
    return found


def _facet(
    columns: ProductColumns, column: Column, entries: np.ndarray, changed: Sequence[LiveProduct]
) -> list[Count] | Numbers:
    if isinstance(column, NumberColumn):
        return _numbers(columns, column, entries, changed)
    return _most_frequent(_texts(columns, column, entries, changed))


def _texts(
    columns: ProductColumns, column: TextColumn, entries: np.ndarray, changed: Sequence[LiveProduct]
) -> dict[str, int]:
    """Count texts, in their order."""
    known = entries[column.known[entries]]
    counts = np.bincount(column.codes[columns.once(known, column.codes[known])], minlength=len(column.values))
    there = np.flatnonzero(counts)
    found = dict(zip(map(str, column.values[there]), counts[there].tolist(), strict=True))
    if changed:
        own = alike(column, [product.said(column.name) for product in changed])
        assert isinstance(own, TextColumn)
        more = collections.Counter(str(own.values[code]) for code in own.codes[own.known])
        found = {text: found.get(text, 0) + more[text] for text in sorted({*found, *more})}
    return found


def _most_frequent(counts: dict[str, int]) -> list[Count]:
    most = sorted(counts.items(), key=lambda pair: -pair[1])[:VALUES]
    return [Count(value=value, count=count) for value, count in most]


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
