"""Answer photos from one version of the catalog: its model and its matrix are held in memory, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from kernels.nearest import Gallery
from visnet.embedding import embed
from visnet.embedding.crop_dataset import square
from visnet.embedding.model_id import model_id, precision_of
from visnet.embedding.vectors import read_vectors
from visnet.errors import NotFound, NotReady
from visnet.evaluation.calibration import load
from visnet.search.products import nearest_products
from visnet.zoo import weights


@dataclass(frozen=True)
class Hit:
    """A product that answers a photo, by its nearest shop photo.

    sq_distance: of unit vectors, in 0..4. probability: how probable it is, in 0..1, that the photo shows this product,
    if the catalog has it (see `visnet.evaluation.calibration`); None where the model has no calibration.
    """

    product_id: str
    crop_id: str
    category: str
    colour: str
    sq_distance: float
    probability: float | None = None


class Searcher:
    """The shop photos of a version, searched exactly. Nothing is read once it is made: the folders may go."""

    def __init__(self, trained_model: Path, embeddings: Path, calibration: Path | None = None) -> None:
        """Read a model's folder, the folder of its embeddings and, if given, the one in which its calibration may be.

        `NotReady` when the embeddings or the calibration are of another model.
        """
        self._model, entry = weights.load(trained_model)
        self.side_px = entry.side_px
        shop = read_vectors(embeddings).of(side="shop")
        self.precision = precision_of(shop.model)
        if shop.model != model_id(weights.digest(self._model.state_dict()), self.precision):
            raise NotReady(f"{embeddings} is by another model than {trained_model}; run `dvc repro` first")
        self._calibration = None if calibration is None else load(calibration, shop.model)
        # Sorted by category, so that one of them is a range of rows, and nothing else is read to search it.
        order = np.argsort(shop.rows["category"].to_numpy(object), kind="stable")
        self._rows = shop.rows.iloc[order].reset_index(drop=True)
        self._gallery = Gallery(shop.matrix[torch.from_numpy(order)], metric="sq_euclidean")
        self._product = pd.factorize(self._rows["product_id"])[0]
        categories, first = np.unique(self._rows["category"].to_numpy(object), return_index=True)
        ends = [*first[1:], len(self._rows)]
        self._range = dict(zip(categories, zip(first.tolist(), ends, strict=True), strict=True))

    @property
    def categories(self) -> list[str]:
        """The categories that a search may be narrowed to."""
        return list(self._range)

    def embed(self, photos: Sequence[Image.Image]) -> torch.Tensor:
        """Return the vectors [B, D] float32 of upright RGB photos, each squared as the catalog's crops are."""
        squares = [square(photo, self.side_px) for photo in photos]
        # One at a time: sums are of another order in another batch, and a lone photo must not wait for 31 grey ones.
        found = embed.embed(self._model, squares, batch=1, precision=self.precision)  # type: ignore[arg-type]
        return torch.cat([vectors for _, vectors in found])

    def products(self, category: str | None = None) -> int:
        """Count the products that have a shop photo, in all or in one category; `NotFound` for an unknown one."""
        return len(np.unique(self._product[slice(*self._rows_of(category))]))

    def search(self, vectors: torch.Tensor, k: int, category: str | None = None) -> list[list[Hit]]:
        """Return the k products nearest to each of the vectors [B, D], nearest first; fewer where there are fewer.

        category: only its photos answer. Errors: `ValueError` for k below 1, `NotFound` for an unknown category.
        """
        if k < 1:
            raise ValueError(f"k {k}: at least 1 product must be asked for")
        within = self._rows_of(category)
        found = nearest_products(vectors, self._gallery, self._product, k, within=within if category else None)
        return [
            [
                self._hit(row, sq_distance, first=rank == 0, whole=category is None)
                for rank, (row, sq_distance) in enumerate(zip(*answer, strict=True))
                if row >= 0
            ]
            for answer in zip(found.row.tolist(), found.sq_distance.tolist(), strict=True)
        ]

    def _rows_of(self, category: str | None) -> tuple[int, int]:
        if category is None:
            return 0, len(self._rows)
        if category not in self._range:
            raise NotFound(f"category {category!r} is not in the catalog; there are {', '.join(self.categories)}")
        return self._range[category]

    def _hit(self, row: int, sq_distance: float, **searched: bool) -> Hit:
        of, known = self._rows.iloc[row], self._calibration
        probability = None if known is None else known.probability(sq_distance, of["category"], **searched)
        return Hit(of["product_id"], of["crop_id"], of["category"], of["colour"], sq_distance, probability)
