"""What the churn benchmark compares: each system behind the same five verbs, imported when it is made.

Vectors are float32 [N, D], ids int64 [N], distances squared Euclidean. A system that does not allow a search during a
write takes turns by a lock of its own; which do is said in `SYSTEMS`.
"""

import importlib
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kernels.nearest import LiveGallery

Array = np.ndarray
LINKS, EXPANSION = 16, 128  # of both HNSW: links of a point, candidates while it is inserted
EFFORTS = (32, 64, 128, 256, 512, 1024)  # candidates of a search: the first that reaches the recall asked for


class System:
    """A system under test; `effort` is what a search may spend, None where it has no such setting."""

    name = ""
    needs = ""  # the module without which it is left out
    most_rows: int | None = None
    efforts: tuple[int, ...] = ()
    bytes_of = "memory"

    def __init__(self, d: int, rows: int, threads: int) -> None:
        self.d, self.rows, self.threads = d, rows, threads
        self.effort: int | None = None
        self.turn: AbstractContextManager[Any] = nullcontext()

    def build(self, ids: Array, vectors: Array) -> None:
        """Take the first vectors."""
        self.insert(ids, vectors)

    def insert(self, ids: Array, vectors: Array) -> None:
        """Add vectors under new ids."""
        raise NotImplementedError

    def delete(self, ids: Array) -> None:
        """Delete ids that are there."""
        raise NotImplementedError

    def search(self, queries: Array, k: int) -> Array:
        """Return the ids of the k nearest, [Q, k]; -1 where there are fewer."""
        raise NotImplementedError

    def maintain(self, keep_s: float = 5.0) -> None:
        """Do what its manual asks for after changes; versions of so many seconds may still be read."""

    def nbytes(self) -> int:
        """Bytes held now."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what is held outside this process's memory."""


class Ours(System):
    """`LiveGallery`: exact, and proven with every query."""

    name, needs = "ours", "torch"

    def __init__(self, d: int, rows: int, threads: int) -> None:
        super().__init__(d, rows, threads)
        self.live = LiveGallery(d, capacity=rows + rows // 20)

    def insert(self, ids: Array, vectors: Array) -> None:
        self.live.write(torch.from_numpy(ids), torch.from_numpy(vectors))

    def delete(self, ids: Array) -> None:
        self.live.delete(torch.from_numpy(ids))

    def search(self, queries: Array, k: int) -> Array:
        return self.live.search(torch.from_numpy(queries), k).row.numpy()

    def nbytes(self) -> int:
        return self.live.nbytes


class Faiss(System):
    """FAISS's flat index: exact; a delete shifts everything behind it."""

    name, needs = "faiss flat", "faiss"

    def __init__(self, d: int, rows: int, threads: int) -> None:
        super().__init__(d, rows, threads)
        self.faiss = importlib.import_module("faiss")
        self.faiss.omp_set_num_threads(threads)
        self.index = self.faiss.IndexIDMap(self.faiss.IndexFlatL2(d))
        self.turn = threading.Lock()

    def insert(self, ids: Array, vectors: Array) -> None:
        self.index.add_with_ids(vectors, ids)

    def delete(self, ids: Array) -> None:
        self.index.remove_ids(ids)

    def search(self, queries: Array, k: int) -> Array:
        return self.index.search(queries, k)[1]

    def nbytes(self) -> int:
        return int(self.index.ntotal) * (4 * self.d + 8)


class Hnswlib(System):
    """hnswlib: a delete is a mark, a later insert takes the marked point's place."""

    name, needs, efforts = "hnswlib HNSW", "hnswlib", EFFORTS

    def __init__(self, d: int, rows: int, threads: int) -> None:
        super().__init__(d, rows, threads)
        self.index = importlib.import_module("hnswlib").Index(space="l2", dim=d)
        room = rows + rows // 20
        self.index.init_index(room, ef_construction=EXPANSION, M=LINKS, random_seed=0, allow_replace_deleted=True)
        self.index.set_num_threads(threads)
        self.turn = threading.Lock()

    def insert(self, ids: Array, vectors: Array) -> None:
        self.index.add_items(vectors, ids, replace_deleted=True)

    def delete(self, ids: Array) -> None:
        for number in ids.tolist():
            self.index.mark_deleted(number)

    def search(self, queries: Array, k: int) -> Array:
        self.index.set_ef(max(self.effort or 0, k))
        return self.index.knn_query(queries, k)[0].astype(np.int64)

    def nbytes(self) -> int:
        return int(self.index.index_file_size())


class Usearch(System):
    """usearch: a delete is a mark, a later insert takes its place."""

    name, needs, efforts = "usearch HNSW", "usearch", EFFORTS

    def __init__(self, d: int, rows: int, threads: int) -> None:
        super().__init__(d, rows, threads)
        index = importlib.import_module("usearch.index").Index
        self.index = index(ndim=d, metric="l2sq", dtype="f32", connectivity=LINKS, expansion_add=EXPANSION)
        self.turn = threading.Lock()

    def insert(self, ids: Array, vectors: Array) -> None:
        self.index.add(ids, vectors, threads=self.threads)

    def delete(self, ids: Array) -> None:
        self.index.remove(ids, threads=self.threads)

    def search(self, queries: Array, k: int) -> Array:
        self.index.expansion_search = max(self.effort or 0, k)
        found = self.index.search(queries, k, threads=self.threads)
        keys = np.asarray(found.keys).astype(np.int64).reshape(len(queries), -1)
        counts = np.atleast_1d(getattr(found, "counts", keys.shape[1]))
        return np.where(np.arange(keys.shape[1]) < counts[:, None], keys, -1)

    def nbytes(self) -> int:
        return int(self.index.memory_usage)


class Lance(System):
    """A LanceDB table on the local disk, searched flat; every change is a version, `optimize` merges them."""

    name, needs, bytes_of = "LanceDB flat", "lancedb", "disk"

    def __init__(self, d: int, rows: int, threads: int) -> None:
        super().__init__(d, rows, threads)
        self.folder = Path(tempfile.mkdtemp(prefix="churn-"))
        self.arrow = importlib.import_module("pyarrow")
        self.base = importlib.import_module("lancedb").connect(self.folder)
        self.table: Any = None

    def _rows(self, ids: Array, vectors: Array) -> Any:
        values = self.arrow.array(vectors.reshape(-1))
        return self.arrow.table({"id": ids, "vector": self.arrow.FixedSizeListArray.from_arrays(values, self.d)})

    def build(self, ids: Array, vectors: Array) -> None:
        self.table = self.base.create_table("items", self._rows(ids, vectors))
        self.table.create_scalar_index("id")  # deletes look ids up

    def insert(self, ids: Array, vectors: Array) -> None:
        self.table.add(self._rows(ids, vectors))

    def delete(self, ids: Array) -> None:
        self.table.delete(f"id IN ({', '.join(map(str, ids.tolist()))})")

    def _asked(self, query: Array, k: int) -> Any:
        return self.table.search(query).limit(k)

    def search(self, queries: Array, k: int) -> Array:
        out = np.full((len(queries), k), -1)
        for number, query in enumerate(queries):
            found = self._asked(query, k).select(["id", "_distance"]).to_arrow()["id"].to_numpy()
            out[number, : len(found)] = found
        return out

    def maintain(self, keep_s: float = 5.0) -> None:
        self.table.optimize(cleanup_older_than=timedelta(seconds=keep_s))

    def nbytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class LanceIvf(Lance):
    """The same table with an IVF_PQ index; effort: the partitions that are read, 20 candidates refined for each."""

    name, efforts = "LanceDB IVF_PQ", (8, 16, 32, 64, 128, 256)

    def build(self, ids: Array, vectors: Array) -> None:
        super().build(ids, vectors)
        parts = max(1, round(len(ids) ** 0.5))
        self.table.create_index(
            metric="l2", vector_column_name="vector", num_partitions=parts, num_sub_vectors=self.d // 4
        )

    def _asked(self, query: Array, k: int) -> Any:
        return super()._asked(query, k).nprobes(self.effort or 20).refine_factor(20)


class Qdrant(System):
    """Qdrant's local mode, in memory: exact by numpy; it warns above 20,000 points, so it gets no more."""

    name, needs, most_rows = "Qdrant local", "qdrant_client", 20_000

    def __init__(self, d: int, rows: int, threads: int) -> None:
        super().__init__(d, rows, threads)
        self.client = importlib.import_module("qdrant_client").QdrantClient(":memory:")
        self.models = importlib.import_module("qdrant_client.models")
        sizes = self.models.VectorParams(size=d, distance=self.models.Distance.EUCLID)
        self.client.create_collection("items", vectors_config=sizes)
        self.turn = threading.Lock()

    def insert(self, ids: Array, vectors: Array) -> None:
        self.client.upsert("items", self.models.Batch(ids=ids.tolist(), vectors=vectors.tolist()))

    def delete(self, ids: Array) -> None:
        self.client.delete("items", self.models.PointIdsList(points=ids.tolist()))

    def search(self, queries: Array, k: int) -> Array:
        out = np.full((len(queries), k), -1)
        for number, query in enumerate(queries):
            points = self.client.query_points("items", query=query.tolist(), limit=k, with_payload=False).points
            out[number, : len(points)] = [point.id for point in points]
        return out

    def nbytes(self) -> int:
        collection = self.client._client.collections["items"]  # there is no public count
        return sum(array.nbytes for array in collection.vectors.values())


SYSTEMS: tuple[Callable[[int, int, int], System], ...] = (Ours, Faiss, Hnswlib, Usearch, Lance, LanceIvf, Qdrant)
