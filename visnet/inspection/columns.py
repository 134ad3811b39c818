"""Which column of a table says what: by its name, and by the values of a sample."""

import os
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from visnet.inspection.column_names import NAMES, NO_CATEGORY, called, plain
from visnet.sources.folder import SUFFIXES
from visnet.sources.listing import SIDES, SPLITS
from visnet.sources.rows import values
from visnet.sources.table_columns import BOX

Sample = Mapping[str, Sequence[str]]  # column -> texts, "" where nothing is given; all of one length
WORDS_MAX = 60  # characters of a category
CATEGORIES_MAX = 500
FURTHER_MAX, VALUES_MAX = 12, 100  # columns that products are filtered by, and values of each


def recognised(sample: Sample) -> tuple[dict[str, str], list[str]]:
    """Return field of `visnet.sources.table.Columns` -> column, for what is there, and what was decided in doubt."""
    chosen: dict[str, str] = {}
    notes: list[str] = []
    _place(sample, chosen, notes)
    for field, fits in FITS.items():
        _by_name(field, fits, sample, chosen, notes)
    if all(field in chosen for field in BOX):
        notes.append("left, top, width, height: the photo's part that shows the product")
    else:
        for field in BOX:
            chosen.pop(field, None)
    _by_values(sample, chosen, notes)
    if "product" not in chosen and (place := chosen.get("path") or chosen.get("url")):
        chosen["product"] = place
        notes.append(f'product: no column says it, so each photo is one, by "{place}"')
    for field in ("title", "price"):
        _by_name(field, _named, sample, chosen, notes)
    return chosen, notes


def further(sample: Sample, chosen: Mapping[str, str]) -> list[str]:
    """Return the columns that products may be filtered by: of few and short values, and no part of what was chosen."""
    apart = {plain(name) for field in ("side", "split", *BOX) for name in NAMES[field]}
    return [name for name in _free(sample, chosen) if plain(name) not in apart and _sorts(sample[name])][:FURTHER_MAX]


def _sorts(texts: Sequence[str]) -> bool:
    distinct = {text for text in texts if text}
    short = all(len(text) <= WORDS_MAX and not is_photo(text) and not is_address(text) for text in distinct)
    return short and 2 <= len(distinct) <= min(VALUES_MAX, len(texts) // 2)


def is_photo(text: str) -> bool:
    """Tell whether a path or an address ends as photos do."""
    path = urllib.parse.urlsplit(text).path if is_address(text) and "[" not in text else text
    return os.path.splitext(path)[1].lower() in SUFFIXES


def is_address(text: str) -> bool:
    """Tell whether a text is a web address."""
    return text.lower().startswith(("http://", "https://", "//"))


def is_product(texts: Sequence[str], name: str) -> bool:
    """Tell whether texts may be ids: given in nearly every row, without spaces, no fractions, of few rows each."""
    given = [text for text in texts if text]
    whole = all(" " not in text and not (values.is_number(text) and "." in text) for text in given)
    many = len(set(given)) > len(given) // 20
    return _ids(texts, name) and whole and many and plain(name) not in NO_CATEGORY


def is_category(texts: Sequence[str], name: str) -> bool:
    """Tell whether texts may be categories: few distinct words, each of several rows."""
    given = [text for text in texts if text]
    distinct = set(given)
    words = all(len(text) <= WORDS_MAX and not values.is_number(text) for text in distinct)
    few = 2 <= len(distinct) <= min(CATEGORIES_MAX, len(given) // 3)
    return words and few and not (set(SIDES) >= distinct or set(SPLITS) >= distinct) and plain(name) not in NO_CATEGORY


def _few(texts: Sequence[str], name: str) -> bool:
    distinct = len({text for text in texts if text})
    return 1 <= distinct <= max(20, len(texts) // 3)


def _ids(texts: Sequence[str], name: str) -> bool:
    return 10 * sum(map(bool, texts)) >= 9 * len(texts)


def _named(texts: Sequence[str], name: str) -> bool:
    return any(texts) and not any(is_photo(text) or is_address(text) for text in texts)


def _among(allowed: Sequence[str]) -> Callable[[Sequence[str], str], bool]:
    return lambda texts, name: any(texts) and {*allowed, ""} >= set(texts)


def _numbers(texts: Sequence[str], name: str) -> bool:
    return any(texts) and all(not text or values.is_number(text) for text in texts)


# Field -> whether the values of a column that is called so may be meant.
FITS: dict[str, Callable[[Sequence[str], str], bool]] = {
    "side": _among(SIDES),
    "split": _among(SPLITS),
    "product": _ids,
    "category": _few,
    "colour": _few,
    "gender": _few,
    **dict.fromkeys(BOX, _numbers),
}
_WANTED = {"side": SIDES, "split": SPLITS[:-1]}


def _by_name(field: str, fits: Callable[..., Any], sample: Sample, chosen: dict[str, str], notes: list[str]) -> None:
    names = called(field, _free(sample, chosen))
    good = [name for name in names if fits(sample[name], name)]
    if good:
        chosen[field] = good[0]
    if good[1:]:
        notes.append(f"{field}: {good[0]}; others are called like it: {', '.join(good[1:])}")
    for name in names if field in _WANTED else ():
        if name not in good and any(sample[name]):
            found = ", ".join(sorted({text[:20] for text in sample[name] if text})[:3])
            notes.append(f"{field}: {name} is not read, as it holds {found}; {' | '.join(_WANTED[field])} are read")


def _by_values(sample: Sample, chosen: dict[str, str], notes: list[str]) -> None:
    """Take, where no column is called so, the fewest words for the category and the most ids for the product."""
    for field, fits, sign, what in (("category", is_category, 1, "few words"), ("product", is_product, -1, "many ids")):
        fitting = [name for name in _free(sample, chosen) if fits(sample[name], name)]
        if field not in chosen and fitting:
            chosen[field] = min(fitting, key=lambda name: sign * len(set(sample[name])))
            notes.append(f'{field}: no column is called so; "{chosen[field]}" has {what}')


def _place(sample: Sample, chosen: dict[str, str], notes: list[str]) -> None:
    """Find the columns of paths and of addresses; what they hold counts more than what they are called."""
    for field, holds in (("path", lambda text: is_photo(text) and not is_address(text)), ("url", is_address)):
        good = [name for name in sample if _mostly(sample[name], holds)]
        ranked = [*called(field, good), *(name for name in good if name not in called(field, good))]
        if field == "url":  # a product's page is an address, too
            ranked.sort(key=lambda name: not _mostly(sample[name], is_photo))
        if ranked:
            chosen[field] = ranked[0]
        if ranked[1:]:
            notes.append(f"{field}: {ranked[0]}; these hold the like: {', '.join(ranked[1:])}")

    if not {"path", "url"} & chosen.keys():  # names without an ending
        paths = [name for name in called("path", list(sample)) if plain(name).endswith(("path", "file", "filename"))]
        if named := next((name for name in paths if any(sample[name])), ""):
            chosen["path"] = named


def _mostly(texts: Sequence[str], holds: Callable[[str], bool]) -> bool:
    given = [text for text in texts if text]
    return 2 * sum(map(holds, given)) > len(given)


def _free(sample: Sample, chosen: Mapping[str, str]) -> list[str]:
    return [name for name in sample if name not in chosen.values()]
