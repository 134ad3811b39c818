"""Answer photos from one version of the catalog: its model and its matrix are held in memory, and nothing else."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from visnet.embedding.crop_dataset import square
from visnet.embedding.embed import ready
from visnet.embedding.model_id import model_id, precision_of
from visnet.embedding.together import ALONE, embed_together, sizes_alike
from visnet.engines.shards import Shards
from visnet.errors import NotFound, NotReady
from visnet.evaluation.calibration import load
from visnet.search.sharded import Searched, nearest_rows, products_of
from visnet.serving.duplicates import Listings
from visnet.serving.pace import breathe
from visnet.serving.ranking import Hit, Ranking
from visnet.serving.shop_gallery import SAID, ShopGallery
from visnet.zoo import weights

NO_GROUPS: Mapping[str, str] = MappingProxyType({})


class _Network(NamedTuple):
    """The network that vectors were made by, ready to answer, and the side in pixels of what it takes."""

    model: torch.nn.Module
    side_px: int

    @classmethod
    def of(cls, trained_model: Path, wanted: str) -> "_Network":
        model, entry = weights.load(trained_model)
        precision = precision_of(wanted)
        if wanted != model_id(weights.digest(model.state_dict()), precision):
            raise NotReady(f"the embeddings are by another model than {trained_model}; run `dvc repro` first")
        return cls(ready(model.eval(), entry.side_px, precision), entry.side_px)


class Searcher:
    """The shop photos of a version, searched exactly. Nothing is read once it is made: the folders may go."""

    def __init__(
        self,
        trained_model: Path,
        shop: ShopGallery,
        calibration: Path | None = None,
        groups: Mapping[str, str] = NO_GROUPS,
        like: "Searcher | None" = None,
        *,
        shards: Shards | None = None,
    ) -> None:
        """Read a model's folder and, if given, the one in which its calibration may be.

        groups: product -> the group of products that are one listing (`visnet.serving.duplicates`). like: one whose
        network is taken where it is by the same model. shards: of a connected cluster, which hold the vectors and
        search them in place of this process, with equal answers; here they are only mapped. `NotReady` when the vectors
        or the calibration are of another model.
        """
        self.model: str = shop.model
        self.precision = precision_of(shop.model)
        known = None if like is None or like.model != shop.model else like._network
        self._network: _Network = known or _Network.of(trained_model, shop.model)
        self.side_px = self._network.side_px
        self._calibration = None if calibration is None else load(calibration, shop.model)
        self._vectors, self.said, self.told = shop.gallery.vectors, shop.said, shop.told
        self._gallery: Searched = shop.gallery if shards is None else shards.gallery(self._vectors)
        self.product_rows = shop.products
        self._product = self.product_rows.code
        self.listings = Listings(self.product_rows, groups)
        self._range = _ranges(self.said["category"])
        breathe()
        self._count = {None: self.product_rows.count} | {
            name: _distinct(self._product[start:stop]) for name, (start, stop) in self._range.items()
        }

    @property
    def categories(self) -> list[str]:
        """The categories that a search may be narrowed to."""
        return list(self._range)

    @property
    def calibrated(self) -> bool:
        """Whether hits have a probability."""
        return self._calibration is not None

    def stored(self, rows: np.ndarray) -> torch.Tensor:
        """Return the vectors [M, D] float32 of photos of the catalog, by their rows [M]."""
        return self._vectors[torch.from_numpy(rows)]

    def square(self, photo: Image.Image) -> torch.Tensor:
        """Return an upright RGB photo as the network takes it: squared as the catalog's crops are, uint8 [3, S, S]."""
        return square(photo, self.side_px)

    def sizes_alike(self) -> tuple[int, ...]:
        """Try in which sizes of batch photos have the vectors that they have alone (see `embedding.together`)."""
        return sizes_alike(self._network.model, self.side_px, self.precision)

    def vectors(self, squares: Sequence[torch.Tensor], sizes: Sequence[int] = ALONE) -> torch.Tensor:
        """Return the vectors [B, D] float32 of squares, in batches of the sizes; left out, one at a time.

        Sums are of another order in another batch, and a lone photo must not wait for 31 grey ones.
        """
        return embed_together(self._network.model, squares, sizes, self.precision)

    def embed(self, photos: Sequence[Image.Image]) -> torch.Tensor:
        """Return the vectors [B, D] float32 of upright RGB photos, each as it would be alone."""
        return self.vectors([self.square(photo) for photo in photos])

    def products(self, category: str | None = None) -> int:
        """Count the products that have a shop photo, in all or in one category; `NotFound` for an unknown one."""
        self._rows_of(category)
        return self._count[category]

    def rank(
        self,
        vectors: torch.Tensor,
        k: int,
        category: str | None = None,
        valid: torch.Tensor | None = None,
        but: Sequence[int] | None = None,
        *,
        collapse: bool = False,
        uncropped: bool = False,
    ) -> list[Ranking]:
        """Return for each of the vectors [B, D] the k products nearest to it, with what their distances mean.

        uncropped: nothing was cut out of the photos. All else as `nearest` says.
        """
        found = self.nearest(vectors, k, category, valid, but, collapse=collapse)
        return [self._ranked(one, whole=category is None, uncropped=uncropped) for one in found]

    def nearest(
        self,
        vectors: torch.Tensor,
        k: int,
        category: str | None = None,
        valid: torch.Tensor | None = None,
        but: Sequence[int] | None = None,
        *,
        collapse: bool = False,
    ) -> list[Ranking]:
        """Return for each of the vectors [B, D] the k products nearest to it, without probabilities; fewer if need be.

        category: only its photos answer. valid: the photos that may answer, bits of `kernels.nearest.pack_bits` of all
        rows. but: for each vector a photo whose product does not answer, -1 for none. collapse: of a listing only the
        nearest product answers, and `but` leaves all of its own out. Errors: `ValueError` for k below 1, `NotFound` for
        an unknown category.
        """
        if k < 1:
            raise ValueError(f"k {k}: at least 1 product must be asked for")
        within = self._rows_of(category)
        answers = self.listings.code if collapse else self._product
        exclude = None if but is None or max(but) < 0 else np.where(np.array(but) < 0, -1, answers[but])
        found = products_of(vectors, self._gallery, answers, k, exclude, within if category else None, valid)
        pairs = zip(found.row, found.sq_distance, strict=True)
        return [Ranking(row[row >= 0], sq_distance[row >= 0], None) for row, sq_distance in pairs]

    def photos(self, vector: torch.Tensor, k: int, valid: torch.Tensor | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the k photos nearest to a vector [D], whatever their products, and their squared distances.

        valid: the photos that may answer, as in `rank`.
        """
        found = nearest_rows(vector[None], self._gallery, k, valid=valid)
        there = found.row[0] >= 0
        return found.row[0][there].numpy(), found.score[0][there].numpy()

    def search(
        self, vectors: torch.Tensor, k: int, category: str | None = None, *, uncropped: bool = False
    ) -> list[list[Hit]]:
        """Return the k products nearest to each of the vectors [B, D], nearest first, as `rank` finds them.

        uncropped: nothing was cut out of the photos.
        """
        return [self.hits(ranking) for ranking in self.rank(vectors, k, category, uncropped=uncropped)]

    def ranking(
        self,
        row: np.ndarray,
        sq_distance: np.ndarray,
        category: np.ndarray,
        *,
        whole: bool,
        after: int = 0,
        uncropped: bool = False,
    ) -> Ranking:
        """Return the ranking of all answers [N] to a photo, nearest first, with what their distances mean.

        whole: the search was not narrowed to a category. after: how many nearer answers were left out, so that nothing
        is told of the nearest. uncropped: nothing was cut out of the photo.
        """
        if self._calibration is None:
            return Ranking(row, sq_distance, None)
        curves = self._calibration.ranked(whole=whole, uncropped=uncropped)
        likely = curves.probability(sq_distance, category, after + np.arange(len(sq_distance)) == 0)
        return Ranking(row, sq_distance, likely, None if after else curves.presence(sq_distance, category))

    def hits(self, ranking: Ranking, start: int = 0, stop: int | None = None) -> list[Hit]:
        """Return what is to be said of the answers of a ranking, from the place `start` up to `stop`."""
        part = slice(start, stop)
        row, sq_distance = ranking.row[part], ranking.sq_distance[part].tolist()
        known = [None] * len(row) if ranking.probability is None else ranking.probability[part].tolist()
        said = (self.said[name][row].tolist() for name in SAID)
        return [Hit(*values) for values in zip(*said, sq_distance, known, strict=True)]

    def nothing(self) -> Ranking:
        """Return the ranking of where no product may answer."""
        return self._ranked(Ranking(np.zeros(0, np.int64), np.zeros(0, np.float32), None), whole=True)

    def _ranked(self, found: Ranking, *, whole: bool, uncropped: bool = False) -> Ranking:
        category = self.said["category"][found.row]
        return self.ranking(found.row, found.sq_distance, category, whole=whole, uncropped=uncropped)

    def _rows_of(self, category: str | None) -> tuple[int, int]:
        if category is None:
            return 0, len(self._product)
        if category not in self._range:
            raise NotFound(f"category {category!r} is not in the catalog; there are {', '.join(self.categories)}")
        return self._range[category]


def _distinct(numbers: np.ndarray) -> int:
    """Count the different whole numbers, none negative, in as many steps as there are."""
    last, places = np.zeros(int(numbers.max(initial=-1)) + 1, np.int64), np.arange(len(numbers))
    last[numbers] = places
    return int(np.count_nonzero(last[numbers] == places))


def _ranges(category: np.ndarray) -> dict[str, tuple[int, int]]:
    """Return category -> its rows, start and stop; category: [G] object, those of one stand together."""
    start = np.flatnonzero(np.r_[True, category[1:] != category[:-1]]) if len(category) else np.zeros(0, int)
    ends = [*start.tolist(), len(category)]
    return {str(category[at]): (at, stop) for at, stop in itertools.pairwise(ends)}
