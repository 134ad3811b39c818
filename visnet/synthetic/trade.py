"""What the synthetic shop does in an hour: it adds and removes products, takes photos anew and changes prices."""

import bisect
import datetime
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from visnet.synthetic.assortment import Product, Recipe, headcounts, product
from visnet.synthetic.scenes import Box, photo_id, scene
from visnet.synthetic.seeds import generator

KINDS = {"add": 0.3, "remove": 0.3, "look": 0.2, "price": 0.2}  # what is done to a product that changes
_RETURNED = 0.2  # share of the added products that were removed before
_FEWEST = 3  # products of a category: a department never closes


@dataclass(frozen=True)
class Habits:
    """How the shop and its feed behave: churn is the share of the catalog that changes in an hour.

    late, repeated, bad: shares of an hour's records. with_street: share of the products that people photograph.
    """

    products: int = 440
    churn: float = 0.02
    seed: int = 7
    side_px: int = 160
    shop_photos: tuple[int, int] = (2, 3)
    street_photos: tuple[int, int] = (1, 2)
    with_street: float = 0.5
    late: float = 0.1
    repeated: float = 0.1
    bad: float = 0.02
    start: datetime.datetime = datetime.datetime(2026, 1, 5, tzinfo=datetime.UTC)

    def __post_init__(self) -> None:
        headcounts(self.products)
        for name in ("churn", "with_street", "late", "repeated", "bad"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} = {getattr(self, name)} is no share; 0 to 1 is allowed")
        for name in ("shop_photos", "street_photos"):
            least, most = getattr(self, name)
            if not 1 <= least <= most <= 20:
                raise ValueError(f"{name} = {least} to {most} is not allowed; 1 to 20, the least first")

    @property
    def recipe(self) -> Recipe:
        """What the photos' bytes depend on."""
        return Recipe(self.seed, self.side_px, 0.5)


@dataclass(frozen=True)
class Item:
    """One product as the shop holds it. photos and street: file -> what is painted in it. taken: photos ever taken."""

    product_id: str
    photos: dict[str, str]
    street: dict[str, str]
    price: float
    taken: int
    seq: int = 0

    @property
    def category(self) -> str:
        """The department it stands in."""
        return self.product_id.partition("/")[0]

    @property
    def files(self) -> dict[str, str]:
        """All its photo files."""
        return self.photos | self.street


@dataclass
class Shop:
    """What is on sale (`ids` in order), what was, and how many records were written of it."""

    habits: Habits
    live: dict[str, Item] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    past: dict[str, Item] = field(default_factory=dict)
    shelves: dict[str, int] = field(default_factory=dict)  # category -> products that were ever on sale
    seq: int = 0

    def tell(self, op: str, item: Item, at: datetime.datetime) -> dict[str, object]:
        """Do to the catalog what a record says, and return the record."""
        self.seq += 1
        place = bisect.bisect_left(self.ids, item.product_id)
        if op == "upsert":
            if item.product_id not in self.live:
                self.ids.insert(place, item.product_id)
            self.live[item.product_id] = item = replace(item, seq=self.seq)
            self.past.pop(item.product_id, None)
            facts = described(self.habits.recipe, item)
        else:
            self.past[item.product_id] = self.live.pop(item.product_id)
            del self.ids[place]
            facts = {"product_id": item.product_id}
        return {**facts, "op": op, "seq": self.seq, "updated_at": at.isoformat()}

    def opening(self) -> Iterator[Item]:
        """Yield the products of the first day."""
        self.shelves = headcounts(self.habits.products)
        for category, count in self.shelves.items():
            for number in range(count):
                yield _new(self.habits, f"{category}/{number:04d}")

    def changed(self, rng: np.random.Generator) -> tuple[str, Item]:
        """Draw what happens next: upsert or delete, and the product as it is then."""
        kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        if kind == "add":
            return "upsert", self._added(rng)
        item = self.live[self.ids[int(rng.integers(len(self.ids)))]]
        first, last = (bisect.bisect_left(self.ids, item.category + mark) for mark in ("/", "0"))  # "0" follows "/"
        if kind == "remove" and last - first > _FEWEST:
            return "delete", item
        return "upsert", _looking(item, rng) if kind == "look" else priced(item, rng)

    def _added(self, rng: np.random.Generator) -> Item:
        if self.past and rng.random() < _RETURNED:
            return self.past[sorted(self.past)[int(rng.integers(len(self.past)))]]
        category = str(rng.choice(list(self.shelves)))
        self.shelves[category] += 1
        return _new(self.habits, f"{category}/{self.shelves[category] - 1:04d}")


def described(recipe: Recipe, item: Item) -> dict[str, object]:
    """Return what a record says of a product, but for its place in the feed."""
    shown = _product(recipe, item.product_id)
    return {
        "product_id": item.product_id,
        "photos": list(item.photos),
        "street_photos": [{"photo": path, "box": list(_box(recipe, name))} for path, name in item.street.items()],
        "category": shown.category,
        "colour": shown.look["colour"],
        "gender": shown.gender,
        "title": f"{shown.look['colour']} {shown.look['pattern']} {shown.category}",
        "price": item.price,
    }


def priced(item: Item, rng: np.random.Generator) -> Item:
    """Return the product at another price."""
    return replace(item, price=round(item.price * float(rng.uniform(0.8, 1.2)) + 0.01, 2))


def _looking(item: Item, rng: np.random.Generator) -> Item:
    # One shop photo is taken anew, and comes under the same file name or a new one.
    photos = list(item.photos.items())
    place, taken = int(rng.integers(len(photos))), item.taken + 1
    path = photos[place][0] if rng.random() < 0.5 else f"{item.product_id}/shop-{taken}.jpg"
    photos[place] = (path, photo_id(item.product_id, "shop", taken))
    return replace(item, photos=dict(photos), taken=taken)


def _new(habits: Habits, product_id: str) -> Item:
    rng = generator("feed item", habits.seed, product_id)
    count = int(rng.integers(habits.shop_photos[0], habits.shop_photos[1] + 1))
    street = int(rng.integers(habits.street_photos[0], habits.street_photos[1] + 1))
    street *= int(rng.random() < habits.with_street)
    photos, taken = (
        {f"{product_id}/{side}-{i}.jpg": photo_id(product_id, side, i) for i in range(1, number + 1)}
        for side, number in (("shop", count), ("street", street))
    )
    return Item(product_id, photos, taken, round(float(rng.uniform(5, 200)), 2), count)


# What an hour says of the whole catalog is nearly what the hour before said.
@functools.lru_cache(maxsize=1_000_000)
def _box(recipe: Recipe, name: str) -> Box:
    return scene(recipe, name).box


@functools.lru_cache(maxsize=1_000_000)
def _product(recipe: Recipe, product_id: str) -> Product:
    return product(recipe, product_id)
