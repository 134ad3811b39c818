"""Which photos of the catalog of now show the same picture as one: by what the stage `duplicates` has published."""

import collections
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from visnet.duplicates import rule
from visnet.duplicates.candidates import Hashes, Numbers
from visnet.duplicates.one_photo import MOST, Copied, copies_of
from visnet.duplicates.shown_photos import HASHED, hashes_of
from visnet.duplicates.views import SIDE_PX, VIEWS, hashes
from visnet.embedding.crop_dataset import square
from visnet.photos.codec import decode
from visnet.serving.app.current import Current
from visnet.serving.catalog import Serving
from visnet.serving.live.overlay import Overlay
from visnet.serving.live.products import Moment
from visnet.serving.searcher import Searcher
from visnet.storage.table import Table

KEPT = 100_000  # hashes of changed photos, those that were asked for last


@dataclass(frozen=True, eq=False)
class AskedPicture:
    """A photo that is asked with: uint8 [3, SIDE_PX, SIDE_PX], its unit vector [D], and the hashes of its views [V].

    row, but: where it is of the catalog, its row and the product that it is of, whose photos are no answers.
    """

    picture: torch.Tensor
    vector: torch.Tensor
    hashes: Hashes
    row: int = -1
    but: str | None = None


class Copies:
    """Holds the hashes of a version's photos, and makes those of changed ones once."""

    def __init__(self, version: Serving, searcher: Searcher, current: Current, overlay: Overlay) -> None:
        """Read what was published; `rule` is None where the version has no hashes, or others than are made here."""
        self._searcher, self._current, self._overlay = searcher, current, overlay
        self._changed: collections.OrderedDict[str, Hashes] = collections.OrderedDict()  # by picture
        crops, table = searcher.said["crop_id"], Table(version.folder / "hashes.lance")
        self._hashes = np.zeros((len(crops), len(VIEWS)), np.uint64)
        self.rule = rule.read(version.folder) if table.exists() else None
        if self.rule is None:
            return
        read = table.read(["crop_id", "hashes"])
        if read.schema.field("hashes").type != HASHED.field("hashes").type:
            self.rule = None
            return
        at = pd.Index(read["crop_id"].to_pylist()).get_indexer(crops)
        self._hashes[at >= 0] = hashes_of(read)[at[at >= 0]]

    def asked(self, row: int) -> AskedPicture:
        """Return a photo of the catalog, by its row, as it is asked with."""
        rows = np.array([row])
        (product_id,), (picture,) = self._current.said("product_id", rows), self._pictures(rows)
        base = self._overlay.base
        own = self._hashes[row] if row < base else self._hash_of(row - base)
        return AskedPicture(picture, self._current.stored(rows)[0], own, row, str(product_id))

    def of(self, asked: AskedPicture, nearest: Sequence[int]) -> tuple[list[Copied], int]:
        """Find the photos that show the same picture, surest first; and count those that it was held against.

        nearest: rows of the nearest other products. Rows are those of the overlay.
        """
        assert self.rule is not None
        with self._overlay.moment() as moment:
            live = np.array([row for one in moment.products for row in one.rows], np.int64)
            near, hashed = self._near(asked, moment), self._hashes
            if not moment.alive.all():
                hashed = np.where(moment.alive[:, None], hashed, np.uint64(0))
            if len(live):
                hashed = np.concatenate([hashed, np.zeros((live.max() + 1, len(VIEWS)), np.uint64)])
                hashed[self._overlay.base + live] = [self._hash_of(row) for row in live.tolist()]
        if asked.but is not None:
            own = self._current.rows(asked.but)
            hashed = hashed.copy()
            hashed[own] = 0
            near = near[~np.isin(near, own)]
        return copies_of(
            asked.picture,
            self._pictures,
            self.rule,
            hashed=(asked.hashes, hashed),
            near=near.tolist(),
            nearest=nearest,
        )

    def _near(self, asked: AskedPicture, moment: Moment) -> Numbers:
        """Return the photos whose embeddings are within the rule's limit, nearest first, as many as are compared."""
        assert self.rule is not None
        count = MOST + (0 if asked.but is None else len(self._current.rows(asked.but)))
        found = [self._searcher.photos(asked.vector, count, moment.valid)]
        if len(moment.seen):
            changed = moment.seen.search(asked.vector[None], min(count, len(moment.seen)))
            found.append((self._overlay.base + changed.row[0].numpy(), changed.score[0].numpy()))
        rows, distances = (np.concatenate(parts) for parts in zip(*found, strict=True))
        within = distances <= np.float32(self.rule.sq_limit)
        return np.asarray(rows[within][np.argsort(distances[within], kind="stable")])

    def _pictures(self, rows: Numbers) -> torch.Tensor:
        """Read the pictures of rows [P], uint8 [P, 3, SIDE_PX, SIDE_PX]."""
        return torch.stack([square(decode(jpeg), SIDE_PX) for jpeg in self._current.pictures(rows)])

    def _hash_of(self, number: int) -> Hashes:
        """Return the hashes of a changed photo by its number, made where they are not kept."""
        name = self._overlay.photos[number].picture
        found = self._changed.get(name)
        if found is None:
            found = self._changed[name] = hashes(self._pictures(np.array([self._overlay.base + number])))[0]
            if len(self._changed) > KEPT:
                self._changed.popitem(last=False)
        return found
