"""Which products the shop sells, in which families, and who is whose look-alike.

A category's stock is one endless list: a larger shop has the same first products as a smaller one, so a catalog can
grow and every photo there was keeps its bytes.
"""

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from visnet.synthetic.cloth import DETAILS
from visnet.synthetic.garments import CATEGORIES
from visnet.synthetic.palette import colourway
from visnet.synthetic.seeds import generator, pick, weighted

# How large the departments are, against one another.
SHARES: dict[str, float] = {
    "bags": 1.15,
    "belts": 0.55,
    "dresses": 1.5,
    "eyewear": 0.75,
    "footwear": 1.35,
    "hats": 0.75,
    "leggings": 0.65,
    "outerwear": 1.1,
    "pants": 0.95,
    "skirts": 0.95,
    "tops": 1.5,
}
LEAST = 8  # products of a category
_SEASON = 48  # products that share one set of colourways
_COLOURWAYS = 4
_BLOCK = 8  # products among which the test share is kept: no category, however small, lacks a test product
_FOR_WOMEN = ("dresses", "skirts", "leggings")

Look = Mapping[str, str]


@dataclass(frozen=True)
class Recipe:
    """What the bytes of a photo depend on, besides its id."""

    seed: int
    side_px: int
    look_alikes: float


@dataclass(frozen=True)
class Product:
    """One product.

    family: shared by look-alikes. detail: the one attribute in which its family differs, "" if it is alone.
    """

    product_id: str
    category: str
    look: Look
    gender: str
    family: str
    detail: str


def headcounts(products: int) -> dict[str, int]:
    """Divide a number of products among the categories by `SHARES`, at least `LEAST` each."""
    counts = dict.fromkeys(SHARES, LEAST)
    left = products - sum(counts.values())
    if left < 0:
        raise ValueError(
            f"products = {products} is too few: {len(SHARES)} categories need {LEAST} each, so {-left} more"
        )
    exact = {name: left * share / sum(SHARES.values()) for name, share in SHARES.items()}
    for name in counts:
        counts[name] += int(exact[name])
    rest = products - sum(counts.values())
    for name in sorted(SHARES, key=lambda n: exact[n] % 1, reverse=True)[:rest]:
        counts[name] += 1
    return counts


def stock(recipe: Recipe, category: str, count: int) -> tuple[Product, ...]:
    """Return the first `count` products of a category."""
    return _shelf(recipe.seed, recipe.look_alikes, category, math.ceil(count / 64) * 64)[:count]


def product(recipe: Recipe, product_id: str) -> Product:
    """Return a product by its id, `<category>/<number>`."""
    category, number = product_id.split("/")
    return stock(recipe, category, int(number) + 1)[-1]


@functools.lru_cache(maxsize=32)
def _shelf(seed: int, look_alikes: float, category: str, count: int) -> tuple[Product, ...]:
    rng = generator("stock", seed, look_alikes, category)
    seen: set[frozenset[tuple[str, str]]] = set()
    shelf: list[Product] = []
    alike = families = 0
    while len(shelf) < count:
        look = random_look(rng, category, _colourways(seed, category, len(shelf) // _SEASON))
        gender = "f" if category in _FOR_WOMEN else pick(rng, ("f", "m", "u"))
        detail, members = "", [look]
        if alike < look_alikes * (len(shelf) + 1):
            detail, members = _siblings(rng, category, look)
        members = [member for member in members if frozenset(member.items()) not in seen]
        if len(members) < 2:
            detail = ""
        alike += len(members) if detail else 0
        for member in members:
            seen.add(frozenset(member.items()))
            name, family = f"{category}/{len(shelf):04d}", f"{category}/f{families:04d}"
            shelf.append(Product(name, category, member, gender, family, detail))
        families += 1
    return tuple(shelf[:count])


@functools.lru_cache(maxsize=256)
def _colourways(seed: int, category: str, season: int) -> tuple[tuple[str, str], ...]:
    rng = generator("colourways", seed, category, season)
    ways: list[tuple[str, str]] = []
    for _ in range(_COLOURWAYS):
        ways.append(colourway(rng, [main for main, _ in ways]))
    return tuple(ways)


def random_look(rng: np.random.Generator, category: str, colours: tuple[tuple[str, str], ...] = ()) -> dict[str, str]:
    """Draw everything that can be seen of a product; `colours` are the colourways to choose from."""
    module = CATEGORIES[category]
    main, accent = colours[int(rng.integers(len(colours)))] if colours else colourway(rng)
    pattern = weighted(rng, module.PATTERNS)
    look = {"colour": main, "accent": accent, "pattern": pattern}
    for attribute, options in {**DETAILS[pattern], **module.CUT}.items():
        look[attribute] = pick(rng, options)
    return look


def _siblings(rng: np.random.Generator, category: str, look: Look) -> tuple[str, list[dict[str, str]]]:
    # Two to four products that share all but one attribute, never the colours.
    choices = {**DETAILS[look["pattern"]], **CATEGORIES[category].CUT}
    detail = pick(rng, list(choices))
    others = [option for option in choices[detail] if option != look[detail]]
    taken = [others[int(i)] for i in rng.permutation(len(others))[: int(rng.integers(1, 4))]]
    return detail, [{**look, detail: option} for option in (look[detail], *taken)]


def differences(one: Product, other: Product) -> list[str]:
    """Name the attributes in which two products look different."""
    return [a for a in sorted({*one.look, *other.look}) if one.look.get(a) != other.look.get(a)]


def splits(recipe: Recipe, category: str, count: int, test_share: float) -> Iterator[str]:
    """Yield "train" or "test" for each of the first `count` products; a longer list begins like a shorter one."""
    for block in range(math.ceil(count / _BLOCK)):
        first, last = (math.ceil(_BLOCK * b * test_share - 1e-9) for b in (block, block + 1))
        order = generator("split", recipe.seed, category, block).permutation(_BLOCK)
        for i in range(min(_BLOCK, count - block * _BLOCK)):
            yield "test" if int(order[i]) < last - first else "train"
