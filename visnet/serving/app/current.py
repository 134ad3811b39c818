"""The catalog of now: a version, and what was changed since. Rows are those of `visnet.serving.live.overlay`."""

from collections.abc import Sequence

import numpy as np
import torch

from visnet.errors import NotFound
from visnet.serving.app.answers.catalog import CatalogColumn
from visnet.serving.app.answers.counts import Count, Numbers
from visnet.serving.app.columns import ANYWHERE, ProductColumns, Where
from visnet.serving.app.facets import AskedFacet, described, facets
from visnet.serving.app.facts import Facts
from visnet.serving.app.within import Grouped, Narrowing, Within
from visnet.serving.columns.attributes import shown_attributes
from visnet.serving.live import merging
from visnet.serving.live.overlay import Overlay
from visnet.serving.live.products import LivePhoto
from visnet.serving.live.store import LiveStore
from visnet.serving.photo_verdicts import PhotoVerdict
from visnet.serving.ranking import Hit, Ranking
from visnet.serving.searcher import Searcher
from visnet.serving.shop_gallery import SAID
from visnet.serving.told_categories import ToldCategory

TOLD = ("gender", "title", "price", "attributes")  # of a feed's record, as `Facts.attributes` has them of a version


class Current:
    """What is said of products and photos, and which of them answer; from any thread."""

    def __init__(
        self, searcher: Searcher, facts: Facts, columns: ProductColumns, overlay: Overlay, store: LiveStore | None
    ) -> None:
        self._searcher, self._facts, self._columns = searcher, facts, columns
        self.overlay, self._store = overlay, store
        self._narrowing = Narrowing(columns)
        self._filled = {one.path for one in searcher.told.values()}  # categories that products were told
        self._described = described(columns, self.within(ANYWHERE))

    def rank(
        self,
        vectors: torch.Tensor,
        k: int,
        where: Where = ANYWHERE,
        but: Sequence[int] | None = None,
        known: Sequence[Ranking] | None = None,
        *,
        collapse: bool = False,
        uncropped: bool = False,
    ) -> list[Ranking]:
        """Return for each of the vectors [B, D] the k products nearest to it; `NotFound` for an unknown category.

        but: for each vector a photo whose product does not answer, -1 for none. known: for each what is nearest in the
        version. collapse: of a double listing only the nearest product answers. uncropped: nothing was cut out of the
        photos.
        """
        if self.overlay.empty:
            among = self._narrowing.of_version(where).among
            if not among.standing:
                return [self._searcher.nothing()] * len(vectors)
            asked = vectors, min(k, among.standing), among.category, among.valid, but
            return self._searcher.rank(*asked, collapse=collapse, uncropped=uncropped)
        with self.overlay.moment() as moment:
            among = self._narrowing.at(where, moment).among
            changed = self._searcher, moment, vectors, k, among, but, known
            return merging.rank(*changed, collapse=collapse, uncropped=uncropped)

    def within(self, where: Where = ANYWHERE) -> Within:
        """Say what may answer now; `NotFound` for an unknown category."""
        if self.overlay.empty:
            return self._narrowing.of_version(where)
        with self.overlay.moment() as moment:
            return self._narrowing.at(where, moment)

    def joined(self, rankings: Sequence[Ranking], k: int, *, collapse: bool = False) -> Ranking:
        """Return the k products nearest to any of several vectors, of which these are the rankings of k each.

        It has no probabilities: they are of one photo.
        """
        row = np.concatenate([one.row for one in rankings])
        sq_distance = np.concatenate([one.sq_distance for one in rankings])
        order = np.lexsort((row, sq_distance))
        names = self.listings(row[order]) if collapse else self.said("product_id", row[order]).astype(str)
        _, first = np.unique(names, return_index=True)
        best = order[np.sort(first)[:k]]
        return Ranking(row[best], sq_distance[best], None)

    def listings(self, rows: np.ndarray) -> np.ndarray:
        """Return the numbers of the listings that rows [N] are of: of a confirmed group, or of a product alone."""
        return merging.listings_of(self._searcher, self.overlay.listing, rows)

    def grouped(self, where: Where) -> Grouped:
        """Say which products of confirmed groups may answer now."""
        within, listings, rows = self.within(where), self._searcher.listings, self._searcher.listings.grouped
        rows = rows[within.entries[self._columns.entries(rows)]]
        found = dict(zip(self._searcher.said["product_id"][rows], listings.code[rows].tolist(), strict=True))
        found |= {one.product_id: one.listing for one in within.changed if one.listing is not None}
        return Grouped(found)

    def after_itself(self, ranking: Ranking, *, whole: bool) -> Ranking:
        """Return the ranking of the other products with the probabilities of a search for a product's own photo.

        There the product itself comes first, so that these are later answers. whole: of all categories.
        """
        category = self.said("category", ranking.row)
        return self._searcher.ranking(ranking.row, ranking.sq_distance, category, whole=whole, after=1)

    def described(self) -> list[CatalogColumn]:
        """Say what columns there are, and which values products have in each."""
        return self._described if self.overlay.empty else described(self._columns, self.within())

    def counted(self, wanted: Sequence[AskedFacet], ranking: Ranking) -> dict[str, list[Count] | Numbers]:
        """Count the values of columns over the products of a ranking."""
        own = ranking.row < self.overlay.base
        live = [self.overlay.photos[row - self.overlay.base].product for row in ranking.row[~own].tolist()]
        return facets(self._columns, wanted, self._columns.entries(ranking.row[own]), live)

    def others(
        self, wanted: Sequence[AskedFacet], product_id: str, where: Where
    ) -> tuple[int, dict[str, list[Count] | Numbers]]:
        """Count the other products that may answer, and the values that they have in columns."""
        within = self.within(where)
        entries = self._columns.others(within.entries, product_id)
        live = [one for one in within.changed if one.product_id != product_id]
        return self._columns.count(entries) + len(live), facets(self._columns, wanted, entries, live)

    def categories(self) -> dict[str, int]:
        """Return category -> how many products it has, the largest first."""
        found = dict(self._facts.categories())
        for name in {*found, *self.overlay.added, *self.overlay.removed} - {None}:
            if name is not None:
                found[name] = found.get(name, 0) - self.overlay.removed[name] + self.overlay.added[name]
        return dict(sorted(((name, n) for name, n in found.items() if n > 0), key=lambda pair: -pair[1]))

    def photos(self) -> int:
        """Count the photos that answer."""
        with self.overlay.moment() as moment:
            return self.overlay.standing() + len(moment.seen)

    def said(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return what is said of rows [N], [N] object; name: product_id, crop_id, category or colour."""
        return merging.said(self._searcher, self.overlay.photos, name, rows)

    def hits(self, ranking: Ranking, start: int = 0, stop: int | None = None) -> list[Hit]:
        """Return what is to be said of the answers of a ranking, from the place `start` up to `stop`."""
        part = slice(start, stop)
        row, sq_distance = ranking.row[part], ranking.sq_distance[part].tolist()
        known = [None] * len(row) if ranking.probability is None else ranking.probability[part].tolist()
        said = (self.said(name, row).tolist() for name in SAID)
        return [Hit(*values) for values in zip(*said, sq_distance, known, strict=True)]

    def rows(self, product_id: str) -> np.ndarray:
        """Return the photos of a product; `NotFound` when it has none, or was withdrawn."""
        changed = self.overlay.check(product_id)
        if changed is None:
            return self._facts.rows(product_id)
        return self.overlay.base + np.arange(changed.rows.start, changed.rows.stop)

    def stored(self, rows: np.ndarray) -> torch.Tensor:
        """Return the vectors [M, D] float32 of rows [M] of one product."""
        live = [self._live(int(row)) for row in rows]
        if all(photo is None for photo in live):
            return self._searcher.stored(rows)
        return torch.stack([photo.vector for photo in live if photo is not None])

    def photo_id(self, row: int) -> str:
        """Return the name of a row's photo in the API."""
        live = self._live(row)
        return self._facts.photo_id(str(self._searcher.said["crop_id"][row])) if live is None else live.photo_id

    def verdict(self, photo_id: str) -> PhotoVerdict | None:
        """Return what the version says of a photo, None where it is not known, as of one that came since."""
        return self._facts.verdict(photo_id)

    def attributes(self, rows: Sequence[int]) -> list[dict[str, str]]:
        """Return what the shop says of the product of each row, empty values left out."""
        live, product_id = [self._live(row) for row in rows], self._searcher.said["product_id"]
        standing = {row: str(product_id[row]) for row, changed in zip(rows, live, strict=True) if changed is None}
        said = self._facts.attributes([*standing.values()])
        return [
            said[standing[row]]
            if changed is None
            else shown_attributes({name: getattr(changed.product.record, name) for name in TOLD})
            for row, changed in zip(rows, live, strict=True)
        ]

    def told(self, row: int) -> ToldCategory | None:
        """Return what the photos of a row's product tell, None where its record says its category."""
        live = self._live(row)
        return None if live is not None else self._searcher.told.get(str(self._searcher.said["product_id"][row]))

    def listed(self, product_id: str) -> Ranking | None:
        """Return a product's published list; None where it was changed, and its like are to be searched for.

        So they are in a category that products were told: the published lists are by the records' categories.
        """
        changed = self.overlay.check(product_id)
        if changed is not None:
            return None
        said = self._searcher.said
        category = str(said["category"][self._facts.rows(product_id)[0]])
        if category in self._filled:
            return None
        return self._facts.similar(product_id)

    def touched(self, listed: Ranking, category: str) -> bool:
        """Whether a change may be among a product's published list, or belong there; category: the product's."""
        if self.overlay.empty:
            return False
        names = self._searcher.said["product_id"][listed.row]
        return bool(self.overlay.added[category]) or any(name in self.overlay.products for name in names)

    def stands(self, crop_id: str, jpeg: bytes) -> torch.Tensor | None:
        """Return the vector [D] of one of the version's crops if this is its picture, else None."""
        row = self._facts.row(crop_id)
        if row is None or self._facts.picture(self._facts.photo_id(crop_id)) != jpeg:
            return None
        return self._searcher.stored(np.array([row]))[0]

    def check_photo(self, photo_id: str) -> None:
        """Refuse what is no photo of a product, with `NotFound` and why."""
        if self._kept(photo_id) is None:
            self._facts.check_photo(photo_id)
            changed = self.overlay.check(self._facts.product_of(photo_id))
            crop = photo_id.partition(".")[0]
            if changed is not None and all(self.overlay.photos[row].crop_id != crop for row in changed.rows):
                raise NotFound(f"photo {photo_id[:100]!r} is no longer one of its product; ask for the product again")

    def picture(self, photo_id: str) -> bytes:
        """Read a photo's JPEG; `NotFound` says why there is none."""
        kept = self._kept(photo_id)
        data = None if kept is None or self._store is None else self._store.jpeg(kept)
        return self._facts.picture(photo_id) if data is None else data

    def pictures(self, rows: np.ndarray) -> list[bytes]:
        """Read the JPEGs of rows [N], those of the version at once."""
        own = rows < self.overlay.base
        of_version = iter(self._facts.pictures(rows[own]) if own.any() else [])
        return [
            next(of_version) if mine else self.picture(self.photo_id(row))
            for mine, row in zip(own.tolist(), rows.tolist(), strict=True)
        ]

    def _kept(self, photo_id: str) -> str | None:
        """Name the picture of a changed product's photo, also of one that a version has taken in just now."""
        live = self.overlay.photo(photo_id)
        if live is not None:
            return live.picture
        crop, _, content = photo_id.partition(".")
        if self._store is None or len(content) != 8 or self._facts.has_photo(photo_id):
            return None
        picture, product_id = self._store.picture(crop, content)
        taken_in = product_id not in self.overlay.products and self._facts.has(product_id)
        return picture if taken_in else None

    def _live(self, row: int) -> LivePhoto | None:
        return self.overlay.photos[row - self.overlay.base] if row >= self.overlay.base else None
