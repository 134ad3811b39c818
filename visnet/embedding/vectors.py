"""The embeddings table as one matrix, of one model."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import torch

from visnet.storage.table import Table

COLUMNS = ["crop_id", "product_id", "category", "side", "colour", "model"]


@dataclass(frozen=True)
class Vectors:
    """Rows (sorted by crop_id; `source` says what they are) and their embeddings [N, D] float32, all by one model."""

    rows: pd.DataFrame
    matrix: torch.Tensor
    model: str

    def of(self, **wanted: str) -> "Vectors":
        """Return the rows whose columns have the wanted values."""
        return self.where(
            np.logical_and.reduce([(self.rows[name] == value).to_numpy() for name, value in wanted.items()])
        )

    def where(self, mask: np.ndarray) -> "Vectors":
        """Return the rows of a mask, bool [N]."""
        return Vectors(self.rows[mask].reset_index(drop=True), self.matrix[torch.from_numpy(mask)], self.model)

    def at(self, crop_ids: Iterable[str]) -> torch.Tensor:
        """Return the vectors of some crops, [M, D] in the order asked for; `ValueError` when one is not there."""
        rows = pd.Index(self.rows["crop_id"]).get_indexer(list(crop_ids))
        if (rows < 0).any():
            raise ValueError(
                f"{int((rows < 0).sum())} of {len(rows)} crops have no vector; run catalog_embeddings again"
            )
        return self.matrix[torch.from_numpy(rows)]


def read_vectors(catalog_embeddings: Path) -> Vectors:
    """Read all vectors; `ValueError` when two models made them, since their distances mean nothing to each other."""
    path = catalog_embeddings / "embeddings.lance"
    table = Table(path).read([*COLUMNS, "content", "embedding"])
    model = _only(table["model"], path)
    length = pc.binary_length(table["product_id"]).cast(pa.string())  # so that its end is known, whatever signs it has
    parts = (table["content"], table["side"], length, table["product_id"], table["category"])
    source = pc.binary_join_element_wise(*parts, "|")
    order = pc.sort_indices(table["crop_id"])
    rows = table.select(COLUMNS).append_column("source", source).append_column("content", source).take(order)
    width = table.schema.field("embedding").type.list_size
    flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    matrix = torch.empty(len(order), width)
    # `take`, unlike an index, lets other threads go on meanwhile; "clip" only spares it a copy, since all are in range.
    np.take(flat.reshape(-1, width), order.to_numpy(), axis=0, out=matrix.numpy(), mode="clip")
    return Vectors(rows.to_pandas(), matrix, model)


def model_of(catalog_embeddings: Path) -> str:
    """Return which model all vectors are by; `ValueError` when two made them."""
    path = catalog_embeddings / "embeddings.lance"
    return _only(Table(path).read(["model"])["model"], path)


def _only(models: pa.ChunkedArray, path: Path) -> str:
    found = sorted(models.unique().to_pylist())
    if len(found) != 1:
        raise ValueError(
            f"{path}: made by {len(found)} models ({', '.join(found) or 'no rows'}); run the stage "
            "catalog_embeddings to its end"
        )
    return str(found[0])
