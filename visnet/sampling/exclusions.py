"""What a person has judged unfit for triplets: `exclusions.csv`, and samples that honour it.

The file has the columns what, a, b; a and b are crop ids, and the table of crops says of which photo, product and box:

    photo,<a>,          this crop is never used, neither as query nor as positive or negative
    positive,<a>,<b>    these two are no match: never query and positive, either way round
    negative,<a>,<b>    these two are in truth alike: never query and negative, either way round

Ids that no longer exist are kept (a photo may come back) and exclude nothing. Order and repeats do not matter.
"""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from visnet.sampling.crops import STREET, Crops, code
from visnet.sampling.sampled import Sampled
from visnet.sampling.splits import SPLITS
from visnet.storage import atomic

HEADER = ("what", "a", "b")
WHAT = {"photo": "one crop id, in column a", "positive": "two different crop ids", "negative": "two different crop ids"}
ROUNDS = 20  # of drawing anew; each asks for twice as many as the last, up to the whole count
EXCLUDED = "what else was drawn is excluded"

Row = tuple[str, str, str]
Draw = Callable[[Crops, int, np.random.Generator], Sampled]


def row(what: str, a: str, b: str = "") -> Row:
    """Return an exclusion as it is kept, a pair in sorted order; `ValueError` says what is allowed."""
    if what not in WHAT:
        raise ValueError(f"what is {what!r}; allowed are {', '.join(WHAT)}")
    if not a or a == b or (what == "photo") != (b == "") or {"\n", "\r"} & {*a, *b}:
        raise ValueError(f"a is {a!r}, b is {b!r}; allowed for {what} is {WHAT[what]} (of one line)")
    return (what, a, b) if what == "photo" else (what, min(a, b), max(a, b))


@dataclass(frozen=True)
class Exclusions:
    """A set of exclusions, each as `row` returns it."""

    rows: frozenset[Row] = frozenset()

    @property
    def photos(self) -> frozenset[str]:
        """The crops that are never used."""
        return frozenset(a for what, a, _ in self.rows if what == "photo")

    def pairs(self, what: str) -> frozenset[tuple[str, str]]:
        """Return the excluded pairs, what = "positive" or "negative", each in sorted order."""
        return frozenset((a, b) for kind, a, b in self.rows if kind == what != "photo")

    def unknown(self, crop_ids: Iterable[str]) -> int:
        """Count the ids in the list that are no crop."""
        return len({crop for _, *pair in self.rows for crop in pair if crop} - set(crop_ids))

    def keep(self, crops: Crops, crop_ids: Sequence[str]) -> tuple[Crops, np.ndarray]:
        """Return what is left of `crops` [N], named by `crop_ids` [N], without the excluded photos: [M], and its rows.

        No product comes into a split that it did not belong to. Without its street crops a product goes where its shop
        crops say, and these may name the split that it was kept from: such a shop crop gets no split. Leaving the
        photos out of the table before it is coded does not see to that.
        """
        photos = self.photos
        excluded = np.fromiter((crop in photos for crop in crop_ids), dtype=bool, count=len(crops))
        kept = np.flatnonzero(~excluded)
        if len(kept) == len(crops):
            return crops, kept
        street = crops.product[crops.side == STREET]
        left = crops.product[kept][crops.side[kept] == STREET]
        bereft = np.isin(crops.product, street) & ~np.isin(crops.product, left)
        astray = bereft & ~np.any([crops.belongs(split) & (crops.split == code(split)) for split in SPLITS], axis=0)
        return replace(crops, split=np.where(astray, -1, crops.split)).take(kept), kept

    def sample(
        self, draw: Draw, crops: Crops, crop_ids: Sequence[str], count: int, rng: np.random.Generator
    ) -> Sampled:
        """Draw `count` triplets of `crops` [N], named by `crop_ids` [N], without the excluded photos and pairs.

        `draw` samples that many of a table of crops: of what `keep` left. Triplets with an excluded pair give their
        place to newly drawn ones of the same kind, which may repeat others; what still lacks after `ROUNDS` is said in
        `short`. A list that names no crop of the table changes nothing: the answer is the sampler's own.
        """
        here, kept = self.keep(crops, crop_ids)
        named = {crop for _, *pair in self.rows for crop in pair}
        number = {crop: i for i, crop in enumerate(crop_ids) if crop in named}
        barred = {
            column: np.array(
                [_key(number[a], number[b], len(crops)) for a, b in self.pairs(what) if {a, b} <= number.keys()]
            )
            for column, what in ((1, "positive"), (2, "negative"))
        }

        def allowed(triplets: np.ndarray) -> np.ndarray:
            good = np.ones(len(triplets), dtype=bool)
            for column, keys in barred.items():
                good &= ~np.isin(_key(triplets[:, 0], triplets[:, column], len(crops)), keys)
            return good

        first = draw(here, count, rng)
        triplets = kept[first.triplets]
        empty = ~allowed(triplets)
        had = first.counts()
        for attempt in range(ROUNDS):
            lacking = np.bincount(first.kind[empty], minlength=len(first.kinds))
            if not lacking.any():
                break
            shares = [-(-count * int(n) // had[kind]) for kind, n in zip(first.kinds, lacking, strict=True) if n]
            again = draw(here, min(max(shares) << attempt, count), rng)
            found = kept[again.triplets]
            good = allowed(found)
            for kind in np.flatnonzero(lacking):
                new = found[good & (again.kind == kind)]
                places = np.flatnonzero(empty & (first.kind == kind))[: len(new)]
                triplets[places] = new[: len(places)]
                empty[places] = False
        left = replace(first, kind=first.kind[empty]).counts()
        short = {**first.short, **{f"{kind}: {EXCLUDED}": n for kind, n in left.items() if n}}
        return replace(first, triplets=triplets[~empty], kind=first.kind[~empty], short=short)


def read(path: Path) -> Exclusions:
    """Read a list of exclusions, none if there is no file; `ValueError` names file, line and what is allowed."""
    if not path.exists():
        return Exclusions()
    rows: set[Row] = set()
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        try:
            if next(lines, None) != list(HEADER):
                raise ValueError(f"the header must be {','.join(HEADER)}")
            for cells in lines:
                if len(cells) > len(HEADER):
                    raise ValueError(f"there are {len(cells)} columns; allowed are {','.join(HEADER)}")
                if cells:
                    rows.add(row(*(cells + [""] * len(HEADER))[: len(HEADER)]))
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{path}: line {max(lines.line_num, 1)}: {error}") from None
    return Exclusions(frozenset(rows))


def write(path: Path, exclusions: Exclusions) -> None:
    """Write a list of exclusions, sorted, whole or not at all."""
    with atomic.writing(path) as building, building.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *sorted(exclusions.rows)])


def _key(a: np.ndarray | int, b: np.ndarray | int, crops: int) -> np.ndarray:
    """Return one number per pair, the same either way round, int64."""
    return np.minimum(a, b) * np.int64(crops) + np.maximum(a, b)
