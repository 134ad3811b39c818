"""What answers beside and instead of a version: products that were changed since, and which photos are out.

Photos are rows: those of the version first, as its searcher numbers them, then those of changes, each with a number of
its own that no other photo gets.
"""

import collections
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from kernels.nearest import LiveGallery, pack_bits
from visnet.errors import NotFound
from visnet.serving.live.changes import Change
from visnet.serving.live.products import LivePhoto, LiveProduct, Moment
from visnet.serving.live.ranks import Rank, Ranks
from visnet.serving.live.store import LiveStore
from visnet.serving.pace import breathe
from visnet.serving.searcher import Searcher
from visnet.sources.changefeed.records import record

SAME = 1e-3  # squared distance within which two vectors are of one picture
HELD_S = 60.0  # for which the facts of a photo that is no more stay, for requests that found it
Embed = Callable[[Sequence[bytes]], torch.Tensor]  # crops as JPEG -> [B, D]


class Overlay:
    """The changes over one version. One thread writes (`catch_up`), any may read."""

    def __init__(self, searcher: Searcher, ranks: Ranks, store: LiveStore | None, model: str, embed: Embed) -> None:
        """Begin with nothing; embed: makes vectors that are by another model than the version's anew."""
        self._ranks, self._store, self._model, self._embed = ranks, store, model, embed
        self._searcher, said = searcher, searcher.said
        self.base = len(said["product_id"])
        self._product_rows = searcher.product_rows
        self._base_category = said["category"]
        self._width = searcher.stored(np.zeros(1, np.int64)).shape[1] if self.base else 1
        self._gallery = LiveGallery(self._width)
        self._alive = np.ones(self.base, bool)
        self._valid: torch.Tensor | None = None
        self.products: dict[str, LiveProduct] = {}
        self.photos: dict[int, LivePhoto] = {}
        self._crops: dict[str, LivePhoto] = {}  # by photo_id
        self._retired: collections.deque[tuple[float, list[int]]] = collections.deque()
        self._product, self.listing = np.zeros(1024, np.int64), np.zeros(1024, np.int64)
        self._epoch = 0
        self._listed: list[LiveProduct] | None = None  # the products, while none changes
        self.added: collections.Counter[str | None] = collections.Counter()  # products, by category, None for all
        self.removed: collections.Counter[str | None] = collections.Counter()  # of the version's
        self._next, self._counted, self._turn = 0, 0, 0
        self._following, self._lock = threading.Lock(), threading.Lock()

    @property
    def empty(self) -> bool:
        """Whether the version answers as it is."""
        return not self.products

    def standing(self) -> int:
        """Count the version's photos that still answer."""
        return int(self._alive.sum())

    @contextlib.contextmanager
    def moment(self) -> Iterator[Moment]:
        """Hold what answers now, until the block ends."""
        with contextlib.ExitStack() as held:
            with self._lock:
                seen = held.enter_context(self._gallery.snapshot())
                if self._listed is None:
                    self._listed = list(self.products.values())
                numbers = self._product, self.listing
                now = Moment(self._epoch, seen, self._valid, self._alive, self.photos, *numbers, self._listed)
            yield now

    def catch_up(self) -> int:
        """Take in what became visible since the last time; return how many products changed."""
        if self._store is None:
            return 0
        with self._following:
            news: dict[str, Change] = {}
            since = self._store.since(self._turn)
            for _, change in since:
                product_id = change.product_id
                before = news[product_id].rank if product_id in news else self._known(product_id)
                if before is None or change.rank > before:
                    news[product_id] = change
            if news:
                self._put(list(news.values()))
            self._turn = since[-1][0] if since else self._turn
            return len(news)

    def photo(self, photo_id: str) -> LivePhoto | None:
        """Return a photo that answers by its name in the API, None when it is of no changed product."""
        return self._crops.get(photo_id)

    def check(self, product_id: str) -> LiveProduct | None:
        """Return a product if it was changed; `NotFound` when it was withdrawn."""
        found = self.products.get(product_id)
        if found is not None and found.withdrawn:
            raise NotFound(f"product {product_id[:200]!r} was withdrawn")
        return found

    def _known(self, product_id: str) -> Rank | None:
        standing = self.products.get(product_id)
        return self._ranks.of(product_id) if standing is None else standing.rank

    def _put(self, changes: Sequence[Change]) -> None:
        """Have changes answer, all of them from one moment on."""
        assert self._store is not None
        made, vectors, first = [], [], self._next
        for change in changes:
            breathe()
            shown = self._vectors(self._store.shown(change.number, self._model))
            rows = range(first, first + len(shown))
            read, listing = record(json.loads(change.record)), self._listing_of(change.product_id, shown)
            product = LiveProduct(change.product_id, change.rank, read, rows, listing)
            made.append((product, [LivePhoto(product, *one) for one in shown]))
            vectors += [vector for _, _, vector in shown]
            first = rows.stop
        self._room(first)
        retired = [row for change in changes if (old := self.products.get(change.product_id)) for row in old.rows]
        for product, photos in made:
            self._counted += 1
            for row, photo in zip(product.rows, photos, strict=True):
                self.photos[row] = photo
                self._product[row] = self._counted
                own = self._searcher.listings.count + self._counted
                self.listing[row] = own if product.listing is None else product.listing
        numbers, alive = torch.arange(self._next, first), self._alive.copy()
        for change in changes:
            alive[self._product_rows.of(change.product_id)] = False
        valid = None if alive.all() else pack_bits(torch.from_numpy(alive))
        stacked = torch.stack(vectors) if vectors else torch.zeros(0, self._width)
        with self._lock:
            self._gallery.write(numbers, stacked, delete=torch.tensor(retired, dtype=torch.int64))
            self._alive, self._valid, self._next = alive, valid, first
            for product, photos in made:
                self._stand(product, photos)
            self._epoch, self._listed = self._epoch + 1, None
        self._forget(retired)

    def _listing_of(self, product_id: str, shown: Sequence[tuple[str, str, torch.Tensor]]) -> int | None:
        """Return the group of a product that shows all the photos that were confirmed of it, None of any other."""
        listing = self._searcher.listings.of(product_id)
        if listing is None:
            return None
        rows, now = self._product_rows.of(product_id), {crop_id: vector for crop_id, _, vector in shown}
        before = self._searcher.stored(rows)
        crops = self._searcher.said["crop_id"][rows]
        same = [
            crop in now and float((now[crop] - vector).square().sum()) < SAME
            for crop, vector in zip(crops, before, strict=True)
        ]
        return listing if all(same) else None

    def _stand(self, product: LiveProduct, photos: Sequence[LivePhoto]) -> None:
        before = self.products.get(product.product_id)
        if before is None:
            own = {self._base_category[row] for row in self._product_rows.of(product.product_id)}
            self.removed.update([None, *own] if own else [])
        elif not before.withdrawn:
            self.added.subtract([None, before.record.category])
        if not product.withdrawn:
            self.added.update([None, product.record.category])
        for row in before.rows if before else ():
            self._crops.pop(self.photos[row].photo_id, None)
        self._crops |= {photo.photo_id: photo for photo in photos}
        self.products[product.product_id] = product

    def _vectors(self, shown: Sequence[tuple[str, str, torch.Tensor | None]]) -> list[tuple[str, str, torch.Tensor]]:
        """Make the vectors that another model made."""
        assert self._store is not None
        found = []
        for crop_id, picture, vector in shown:
            if vector is None and (jpeg := self._store.jpeg(picture)) is not None:
                vector = self._embed([jpeg])[0]
                data = vector.numpy().astype("<f4").tobytes()
                self._store.change("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)", [(picture, self._model, data)])
            if vector is not None:
                found.append((crop_id, picture, vector))
        return found

    def _room(self, wanted: int) -> None:
        if wanted > len(self._product):
            more = max(wanted, 2 * len(self._product)) - len(self._product)
            self._product, self.listing = np.pad(self._product, (0, more)), np.pad(self.listing, (0, more))

    def _forget(self, retired: list[int]) -> None:
        now_s = time.monotonic()
        self._retired.append((now_s, retired))
        while self._retired and self._retired[0][0] < now_s - HELD_S:
            for row in self._retired.popleft()[1]:
                self.photos.pop(row, None)
