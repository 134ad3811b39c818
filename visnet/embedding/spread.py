"""Embed crops on the nodes of a Ray cluster, with the vectors that one process gives.

Vectors are equal to the bit because each process embeds the same batches, in the same precision and with the same
number of threads, as `embed` would here. Where nodes have GPUs, CPUs decode and GPUs embed; else each process does both
in turn, as one that is alone.
"""

import copy
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from visnet.embedding.crop_dataset import CropImages
from visnet.embedding.embed import Computed, chosen_device, embed, ready
from visnet.engines.blocks import ROW, BlockStep, Work, divided, mapped
from visnet.engines.cluster import Cluster
from visnet.zoo import weights

BLOCK_CROPS = 128  # of a call of a process, or a batch where that is more; what a lost process begins again


@dataclass(frozen=True)
class Batching:
    """How crops are embedded: so many at a time, in a precision, and at most so many between two commits."""

    size: int
    precision: Computed
    most: int


@dataclass(frozen=True)
class Decoding:
    """What decodes crops of a table, of which `images` says which and how: rows of crop_id and position to squares."""

    images: CropImages

    def __call__(self) -> Work:
        """Return the function of a process, which has as many threads as torch has there."""
        return self._decoded

    def of(self, block: pa.Table) -> CropImages:
        """Return the crops that a block names; none is decoded yet, and the table is opened once in a process."""
        self.images.names, self.images.positions = block["crop_id"].to_pylist(), block["position"].to_pylist()
        return self.images

    def _decoded(self, block: pa.Table) -> pa.Table:
        squares = self.of(block).__getitems__(range(block.num_rows)).numpy()
        kind = pa.binary(squares[0].nbytes)
        column = pa.Array.from_buffers(kind, len(squares), [None, pa.py_buffer(squares)])
        return pa.table({ROW: block[ROW], "square": column})


@dataclass(frozen=True)
class Embedding:
    """What embeds squares: the model of a folder, in batches of one size."""

    model: Path
    digest: str
    batch: int
    precision: Computed
    threads: int

    def __call__(self) -> Work:
        """Load the model, and return the function of a process; `ValueError` when it is not the one asked for."""
        embedded, side_px = self.embedded()
        return lambda block: embedded(block, _squares(block["square"], side_px))

    def embedded(self) -> tuple[Callable[[pa.Table, Any], pa.Table], int]:
        """Load the model; return what embeds a block given its photos (a dataset or a tensor), and their side."""
        torch.set_num_threads(self.threads)
        model, entry = weights.load(self.model)
        found = weights.digest(model.state_dict())
        if found != self.digest:
            raise ValueError(
                f"{self.model}: a node of the cluster finds the model {found} there, and {self.digest} is asked for; "
                "all nodes must see the same files"
            )

        # Made ready once: `embed` would do so for each block, which took a seventh of the time.
        running = ready(model.to(chosen_device("auto")).eval(), entry.side_px, self.precision)

        def embedded(block: pa.Table, photos: Any) -> pa.Table:
            parts = [vectors for _, vectors in embed(running, photos, batch=self.batch, precision=self.precision)]
            vectors = torch.cat(parts).numpy()
            flat = pa.array(vectors.ravel(), pa.float32())
            return pa.table({ROW: block[ROW], "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])})

        return embedded, entry.side_px


@dataclass(frozen=True)
class Both:
    """What decodes and embeds in one process, batch by batch: squares in no block, and no copy more than in `embed`."""

    decoding: Decoding
    embedding: Embedding

    def __call__(self) -> Work:
        """Return the function of a process."""
        embedded, _ = self.embedding.embedded()
        return lambda block: embedded(block, self.decoding.of(block))


def embed_on(
    cluster: Cluster, trained_model: Path, model: nn.Module, images: CropImages, at_once: Batching
) -> Generator[tuple[Tensor, Tensor]]:
    """Yield what `embed` yields of the model in a folder, (rows [B] int64, embeddings [B, D] float32), in order.

    images: crops of which none is kept. All nodes must see the crops and the model under the same paths. `ValueError`
    when the nodes are too small, and whatever decoding or embedding raises.
    """
    threads = torch.get_num_threads()
    rows = pa.table({"crop_id": pa.array(images.names, pa.string()), "position": pa.array(images.positions)})
    blocks = divided(rows, at_once.size * max(1, min(BLOCK_CROPS, at_once.most) // at_once.size))
    table = copy.copy(images)
    table.path, table.names, table.positions = images.path.absolute(), [], []
    decoding = Decoding(table)
    digest = weights.digest(model.state_dict())
    embedding = Embedding(trained_model.absolute(), digest, at_once.size, at_once.precision, threads)
    for part in mapped(blocks, steps(cluster, decoding, embedding, len(blocks))):
        vectors = part["vector"].combine_chunks()
        width = vectors.type.list_size
        flat = vectors.flatten().to_numpy(zero_copy_only=False)
        yield torch.tensor(part[ROW].to_numpy()), torch.tensor(flat.reshape(-1, width))


def steps(cluster: Cluster, decoding: Decoding, embedding: Embedding, blocks: int) -> list[BlockStep]:
    """Divide the work: to CPUs and GPUs where there are GPUs, else whole to as many processes as find room."""
    if cluster.gpus and cluster.fit(1):
        apart = BlockStep(embedding, gpus=1, processes=min(cluster.gpus, blocks), rows=embedding.batch)
        return [BlockStep(decoding), apart]
    count = min(cluster.fit(embedding.threads), blocks)
    return [BlockStep(Both(decoding, embedding), cpus=embedding.threads, processes=count)]


def _squares(column: pa.ChunkedArray, side_px: int) -> Tensor:
    """Read squares [B, 3, S, S] of a column of their bytes."""
    whole = column.combine_chunks()
    flat = np.frombuffer(whole.buffers()[1], np.uint8)
    size = 3 * side_px**2
    return torch.tensor(flat[whole.offset * size :][: len(whole) * size].reshape(-1, 3, side_px, side_px))
