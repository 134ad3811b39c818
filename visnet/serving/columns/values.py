"""One column of products: its texts, or lists of them, as numbers; or its numbers."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from visnet.serving.columns.attributes import as_text
from visnet.taxonomy.paths import level_below

AFTER_SLASH = chr(ord("/") + 1)  # paths below one are the texts from "PATH/" on, and before this


@dataclass(frozen=True, eq=False)
class TextColumn:
    """A column of texts: the number of each entry's, [E] int, -1 where there is none; and the texts [V], in order."""

    name: str
    codes: np.ndarray
    texts: pa.StringArray

    kind = "text"

    @classmethod
    def of(cls, name: str, said: np.ndarray) -> "TextColumn":
        """Number texts, [E] object; what is empty has no value."""
        numbered = pd.Categorical(said)
        if "" in numbered.categories:
            numbered = numbered.remove_categories([""])
        return cls(name, np.asarray(numbered.codes), pa.array(numbered.categories, pa.string()))

    @functools.cached_property
    def values(self) -> np.ndarray:
        """The texts, [V] object, which are made when they are first asked for."""
        return self.texts.to_numpy(zero_copy_only=False)

    @property
    def known(self) -> np.ndarray:
        """Say which entries have a value, [E] bool."""
        return self.codes >= 0

    def among(self, values: Sequence[str | float]) -> np.ndarray:
        """Say which entries have one of the values, [E] bool; a number is the text that the catalog has of it."""
        return np.isin(self.codes, _codes(self.values, values))

    def between(self, least: float, most: float) -> np.ndarray:
        """Refuse: texts have no range."""
        raise ValueError(f"column {self.name!r} is of texts; allowed are equals, in and below")

    def below(self, path: str) -> np.ndarray:
        """Say which entries have a path's text, or that of one below it, [E] bool."""
        return np.isin(self.codes, _codes_below(self.values, path))

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each value that an entry has: which entry, and the value's number, [M] int each."""
        entries = np.flatnonzero(self.known)
        return entries, self.codes[entries]

    def levels(self, above: str) -> "TextColumn":
        """Return the column of the paths one level below another, of the first levels for ""; others have no value."""
        there = np.unique(self.codes[self.known])
        nodes = TextColumn.of(self.name, np.array([level_below(str(self.values[at]), above) for at in there], object))
        code = np.full(len(self.values) + 1, -1)  # the last is of those without a value
        code[there] = nodes.codes
        return TextColumn(self.name, code[self.codes], nodes.texts)

    def take(self, entries: np.ndarray) -> "TextColumn":
        """Return the column of some entries alone."""
        return TextColumn(self.name, self.codes[entries], self.texts)


@dataclass(frozen=True, eq=False)
class ListColumn:
    """A column in which an entry may have several texts: those of entry e are `codes[starts[e] : starts[e + 1]]`.

    starts: [E + 1] int; codes: [M] int, of an entry each once; texts: [V], in order. A filter holds of an
    entry where it does of one of its texts.
    """

    name: str
    starts: np.ndarray
    codes: np.ndarray
    texts: pa.StringArray

    kind = "text"

    @classmethod
    def of(cls, name: str, said: Sequence[Any]) -> "ListColumn":
        """Number the texts of lists, [E]; what is no list is one text, and what is empty is none."""
        texts = [
            sorted({as_text(one) for one in (value if isinstance(value, list) else [value])} - {""}) for value in said
        ]
        numbered = pd.Categorical([text for some in texts for text in some])
        starts = np.cumsum([0, *map(len, texts)])
        return cls(name, starts, np.asarray(numbered.codes, np.int64), pa.array(numbered.categories, pa.string()))

    @functools.cached_property
    def values(self) -> np.ndarray:
        """The texts, [V] object, which are made when they are first asked for."""
        return self.texts.to_numpy(zero_copy_only=False)

    @property
    def known(self) -> np.ndarray:
        """Say which entries have a value, [E] bool."""
        return np.diff(self.starts) > 0

    def among(self, values: Sequence[str | float]) -> np.ndarray:
        """Say which entries have one of the values, [E] bool; a number is the text that the catalog has of it."""
        return self._having(_codes(self.values, values))

    def between(self, least: float, most: float) -> np.ndarray:
        """Refuse: texts have no range."""
        raise ValueError(f"column {self.name!r} is of lists of texts; allowed are equals, in and below")

    def below(self, path: str) -> np.ndarray:
        """Say which entries have a path's text, or that of one below it, [E] bool."""
        return self._having(_codes_below(self.values, path))

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each value that an entry has: which entry, and the value's number, [M] int each."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts)), self.codes

    def levels(self, above: str) -> "ListColumn":
        """Return the column of the paths one level below another, of the first levels for ""; others are no value."""
        nodes = TextColumn.of(self.name, np.array([level_below(str(value), above) for value in self.values], object))
        entries, codes = self.pairs()
        whole = np.stack([entries, nodes.codes[codes]], axis=1)
        left = np.unique(whole[whole[:, 1] >= 0], axis=0)
        starts = np.searchsorted(left[:, 0], np.arange(len(self.starts)))
        return ListColumn(self.name, starts, left[:, 1], nodes.texts)

    def take(self, entries: np.ndarray) -> "ListColumn":
        """Return the column of some entries alone."""
        counts = np.diff(self.starts)[entries]
        starts = np.append(0, np.cumsum(counts))
        at = np.repeat(self.starts[:-1][entries] - starts[:-1], counts) + np.arange(starts[-1])
        return ListColumn(self.name, starts, self.codes[at], self.texts)

    def _having(self, codes: np.ndarray) -> np.ndarray:
        found = np.zeros(len(self.starts) - 1, bool)
        entries, own = self.pairs()
        found[entries[np.isin(own, codes)]] = True
        return found


@dataclass(frozen=True, eq=False)
class NumberColumn:
    """A column of numbers; float64 [E], NaN where there is none."""

    name: str
    said: np.ndarray

    kind = "number"

    @property
    def known(self) -> np.ndarray:
        """Say which entries have a value, [E] bool."""
        return np.asarray(~np.isnan(self.said))

    def among(self, values: Sequence[str | float]) -> np.ndarray:
        """Say which entries have one of the values, [E] bool; a text is refused."""
        if texts := [value for value in values if isinstance(value, str)]:
            raise ValueError(f"column {self.name!r} is of numbers, and {texts[0][:60]!r} is a text")
        return np.isin(self.said, values)

    def between(self, least: float, most: float) -> np.ndarray:
        """Say which entries are within bounds, these included, [E] bool."""
        return (self.said >= least) & (self.said <= most)

    def below(self, path: str) -> np.ndarray:
        """Refuse: numbers are no paths."""
        raise ValueError(f"column {self.name!r} is of numbers, which are below no path")

    def take(self, entries: np.ndarray) -> "NumberColumn":
        """Return the column of some entries alone."""
        return NumberColumn(self.name, self.said[entries])


Column = TextColumn | ListColumn | NumberColumn


def alike(column: Column, values: Sequence[Any]) -> Column:
    """Make a column of the same kind of other values [N]; None has none, nor what is no number in one of numbers."""
    if isinstance(column, TextColumn):
        return TextColumn.of(column.name, pd.Series([as_text(value) for value in values], dtype=object).to_numpy())
    if isinstance(column, ListColumn):
        return ListColumn.of(column.name, values)
    numbers = [number(value) if isinstance(value, int | float) else np.nan for value in values]
    said = np.array(numbers, np.float64)
    return NumberColumn(column.name, np.where(np.isfinite(said), said, np.nan))


def number(value: float | None) -> float:
    """Return a number as float64, NaN for none and for what has no float64."""
    try:
        return np.nan if value is None else float(value)
    except OverflowError:  # an integer of hundreds of digits
        return np.nan


def _codes(values: np.ndarray, asked: Sequence[str | float]) -> np.ndarray:
    """Return the numbers of texts among values [V], which are in order; a number is the text that is told of it."""
    texts = np.array([as_text(value) for value in asked], object)
    at = np.searchsorted(values, texts)
    there = at < len(values)
    found = at[there]
    return np.asarray(found[values[found] == texts[there]])


def _codes_below(values: np.ndarray, path: str) -> np.ndarray:
    """Return the numbers of a path and of those below it among values [V], which are in order."""
    first, last = np.searchsorted(values, np.array([f"{path}/", f"{path}{AFTER_SLASH}"], object))
    return np.append(_codes(values, [path]), np.arange(first, last))
