"""What values products have in a column: how often each text, and how far numbers reach."""

from collections.abc import Sequence

import numpy as np

from visnet.serving.app.answers import Bin, CatalogColumn, Count, Numbers
from visnet.serving.app.column_values import Column, NumberColumn
from visnet.serving.app.columns import OWN, ProductColumns

VALUES = 100  # of a text column that are told, the most frequent ones
BINS = 10
FACETS = "columns whose values are counted, with commas between them; category,colour where it is left out"


def facets(columns: ProductColumns, names: Sequence[str], entries: np.ndarray) -> dict[str, list[Count] | Numbers]:
    """Count the values of columns over products, given as their entries [N] int; 422 for an unknown column."""
    return {name: _facet(columns, columns.column(name, "facets"), entries) for name in names}


def asked(text: str | None) -> tuple[str, ...]:
    """Read which facets are asked for: names with commas between them, category and colour where none is said."""
    return OWN if text is None else tuple(dict.fromkeys(filter(None, text.split(","))))


def described(columns: ProductColumns) -> list[CatalogColumn]:
    """Say what columns there are, and which values the products of the catalog have in each."""
    every = np.arange(len(columns))
    found = []
    for column in columns:
        if isinstance(column, NumberColumn):
            numbers = _numbers(columns, column, every)
            found.append(CatalogColumn(name=column.name, kind="number", min=numbers.min, max=numbers.max))
        else:
            counts, distinct = _facet(columns, column, every), len(column.values)
            found.append(CatalogColumn(name=column.name, kind="text", distinct=distinct, values=counts))
    return found


def _facet(columns: ProductColumns, column: Column, entries: np.ndarray) -> list[Count] | Numbers:
    if isinstance(column, NumberColumn):
        return _numbers(columns, column, entries)
    known, codes = entries[column.known[entries]], column.codes
    counts = np.bincount(codes[columns.once(known, codes[known])], minlength=len(column.values))
    order = np.argsort(-counts, kind="stable")[:VALUES]
    values = column.values[order]
    return [Count(value=str(value), count=int(n)) for value, n in zip(values, counts[order], strict=True) if n]


def _numbers(columns: ProductColumns, column: NumberColumn, entries: np.ndarray) -> Numbers:
    values = column.said[columns.once(entries)]
    values = values[~np.isnan(values)]
    if not len(values):
        return Numbers(min=None, max=None, histogram=[])
    least, most = float(values.min()), float(values.max())
    edges = np.linspace(least, most, BINS + 1) if most - least not in (0.0, np.inf) else np.array([least, most])
    counts = np.bincount(np.searchsorted(edges[1:-1], values, side="right"), minlength=len(edges) - 1)
    bins = zip(edges.tolist(), edges[1:].tolist(), counts.tolist(), strict=False)
    return Numbers(min=least, max=most, histogram=[Bin(min=low, max=high, count=n) for low, high, n in bins])
