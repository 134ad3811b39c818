"""Uniform draws from "the same group, but another part", by arithmetic on sorted rows."""

from dataclasses import dataclass

import numpy as np

from visnet.sampling.crops import Crops

ROUNDS = 20  # of redrawing; a query whose candidates are more than half barred may need more, and is then enumerated


@dataclass(frozen=True)
class Blocks:
    """Rows sorted by group and, within it, by part, so that each group and each part is one stretch.

    rows [M] int64: the drawable rows, sorted. group, part [N] int64: codes of every row, part unique over all groups.
    start, stop [N]: the row's group among `rows`; skip_start, skip_stop [N]: its part.
    """

    rows: np.ndarray
    group: np.ndarray
    part: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    skip_start: np.ndarray
    skip_stop: np.ndarray

    @classmethod
    def of(cls, group: np.ndarray, part: np.ndarray, among: np.ndarray | None = None) -> "Blocks":
        """Sort rows by two columns of codes [N]; only rows `among` (bool [N]) can be drawn, any row can ask."""
        order = np.lexsort((part, group))
        drawable = np.ones(len(order), dtype=bool) if among is None else among[order]
        group_code, start, stop = _stretches([group], order, drawable)
        part_code, skip_start, skip_stop = _stretches([group, part], order, drawable)
        return cls(order[drawable], group_code, part_code, start, stop, skip_start, skip_stop)

    def sizes(self) -> np.ndarray:
        """Count the candidates of each row, int64 [N]."""
        return (self.stop - self.start) - (self.skip_stop - self.skip_start)

    def at(self, asking: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return the candidate with the given index (0 to size - 1) of each asking row, all int64 [T]."""
        place = self.start[asking] + index
        place += np.where(place >= self.skip_start[asking], self.skip_stop[asking] - self.skip_start[asking], 0)
        return self.rows[place]

    def draw(self, asking: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw one candidate for each asking row, int64 [T]; each must have one."""
        return self.at(asking, rng.integers(0, self.sizes()[asking]))


@dataclass(frozen=True)
class Foreign:
    """Which crops show another product than a query's: neither its product, nor a photo that also shows its product.

    product [N] int64: of each crop. shared [S] int64, sorted: product * N + row for each crop (row) of another product
    on a photo that shows the product too (two boxes in one street photo; one photo listed under two products).
    """

    product: np.ndarray
    shared: np.ndarray

    @classmethod
    def of(cls, crops: Crops) -> "Foreign":
        """Find the photos that show several products."""
        order = np.lexsort((crops.product, crops.photo))
        photo, product = crops.photo[order], crops.product[order]
        new_photo = np.append(True, photo[1:] != photo[:-1])[: len(photo)]
        new_pair = new_photo | np.append(True, product[1:] != product[:-1])[: len(photo)]
        photo_of_row = np.cumsum(new_photo) - 1
        photo_of_pair = photo_of_row[new_pair]
        products = np.bincount(photo_of_pair)  # per photo
        first_pair = np.cumsum(products) - products
        rows = np.flatnonzero(products[photo_of_row] > 1) if len(photo) else np.empty(0, dtype=np.int64)
        repeats = products[photo_of_row[rows]]
        row = np.repeat(rows, repeats)
        other = product[new_pair][np.repeat(first_pair[photo_of_row[rows]], repeats) + ragged(repeats)]
        apart = other != product[row]
        return cls(crops.product, np.unique(other[apart] * len(crops) + order[row[apart]]))

    def bars(self, asking: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Say of each row whether it does not count as another product than the asking row's, bool [T]."""
        barred = self.product[asking] == self.product[rows]
        if self.shared.size:
            key = self.product[asking] * len(self.product) + rows
            place = np.minimum(np.searchsorted(self.shared, key), self.shared.size - 1)
            barred |= self.shared[place] == key
        return barred

    def sizes(self, blocks: Blocks) -> np.ndarray:
        """Count the candidates of each row that show another product, int64 [N]."""
        drawable = np.zeros(len(self.product), dtype=bool)
        drawable[blocks.rows] = True
        # What is barred for a product: (product, row) of its own rows, and of those on shared photos.
        shared_product, shared_row = np.divmod(self.shared, max(len(self.product), 1))
        product = np.concatenate([self.product, shared_product])
        row = np.concatenate([np.arange(len(self.product)), shared_row])
        product, row = product[drawable[row]], row[drawable[row]]
        in_group = _matches(self.product, blocks.group, product, blocks.group[row])
        in_part = _matches(self.product, blocks.part, product, blocks.part[row])
        return blocks.sizes() - (in_group - in_part)

    def draw(self, blocks: Blocks, asking: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw one candidate that shows another product for each asking row, int64 [T]; each must have one."""
        drawn = blocks.draw(asking, rng)
        left = np.flatnonzero(self.bars(asking, drawn))
        for _ in range(ROUNDS):
            drawn[left] = blocks.draw(asking[left], rng)
            left = left[self.bars(asking[left], drawn[left])]
            if not left.size:
                return drawn
        # Rows of one product and one part have the same candidates: list these once.
        key = self.product[asking[left]] * (blocks.part.max() + 1) + blocks.part[asking[left]]
        _, same = np.unique(key, return_inverse=True)
        for alike in np.split(left[np.argsort(same, kind="stable")], np.cumsum(np.bincount(same))[:-1]):
            drawn[alike] = rng.choice(self.listed(blocks, int(asking[alike[0]])), size=alike.size)
        return drawn

    def listed(self, blocks: Blocks, asking: int) -> np.ndarray:
        """List every candidate of one asking row that shows another product, int64 [C]."""
        here = np.full(int(blocks.sizes()[asking]), asking)
        found = blocks.at(here, np.arange(here.size))
        return found[~self.bars(here, found)]


def ragged(lengths: np.ndarray) -> np.ndarray:
    """Count 0, 1, … within each of several runs: [2, 3] gives [0, 1, 0, 1, 2]."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _stretches(
    columns: list[np.ndarray], order: np.ndarray, drawable: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return code, start and stop of each row's stretch of equal values; `drawable` is in sorted order."""
    changes = np.zeros(len(order), dtype=bool)
    for column in columns:
        ordered = column[order]
        changes[1:] |= ordered[1:] != ordered[:-1]
    number = np.cumsum(changes)
    codes = np.empty(len(order), dtype=np.int64)
    codes[order] = number
    stop = np.cumsum(np.bincount(number[drawable], minlength=int(number[-1]) + 1 if len(number) else 0))
    start = np.append(0, stop[:-1])
    return codes, start[codes], stop[codes]


def _matches(product: np.ndarray, codes: np.ndarray, pair_product: np.ndarray, pair_code: np.ndarray) -> np.ndarray:
    """Count for each row the pairs with its product and code, int64 [N]."""
    width = int(codes.max(initial=0)) + 1
    keys, counts = np.unique(pair_product * width + pair_code, return_counts=True)
    if not keys.size:
        return np.zeros(len(product), dtype=np.int64)
    asked = product * width + codes
    place = np.minimum(np.searchsorted(keys, asked), keys.size - 1)
    return np.where(keys[place] == asked, counts[place], 0)
