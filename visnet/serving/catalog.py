"""The catalog as it is served: one whole version, which stays until its reader closes it."""

import os
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from visnet.categorizing.files import TODAY
from visnet.embedding.vectors import Vectors, read_vectors
from visnet.errors import NotReady
from visnet.pipeline.reports import DATA
from visnet.serving import versions
from visnet.storage import locks
from visnet.storage.table import Table

TRIES = 1000  # a version can vanish between being found and being held, but only while others are published


class Serving:
    """A version of the catalog, held open: it is not removed while this is.

    `crops` and `knn` are tables, `trained_model` a folder, `catalog` the shop's facts, None where its source has
    none, `quality` the verdicts on photos, None where none are judged, `localizer` and `taxonomy_model` folders,
    None where none was trained, `today` the file of what became of the latter's tree, which need not be there,
    `told_categories` the table of the products whose category their photos tell, None where none is.
    """

    def __init__(self, folder: Path, number: int, lock: FileIO) -> None:
        self.folder, self.number, self._lock = folder, number, lock
        self.crops, self.knn = folder / "crops.lance", folder / "knn.lance"
        self.trained_model = folder / "trained_model"
        self.catalog = folder / "catalog.lance" if Table(folder / "catalog.lance").exists() else None
        self.quality = folder / "quality.lance" if Table(folder / "quality.lance").exists() else None
        self.localizer = folder / "localizer" if (folder / "localizer").is_dir() else None
        self.taxonomy_model = folder / "taxonomy_model" if (folder / "taxonomy_model").is_dir() else None
        self.today = folder / TODAY
        told = folder / "told_categories.lance"
        self.told_categories = told if Table(told).exists() else None

    def facts(self) -> dict[str, Any]:
        """Read what is written about the version: its number, parts, counts and gates."""
        return versions.facts(self.folder.parent.parent, self.number)

    def vectors(self) -> Vectors:
        """Read the embeddings, all by one model."""
        return read_vectors(self.folder)

    def lists(self, columns: list[str], where: str | None = None) -> pa.Table:
        """Read columns of the answers: rows of `kind` street and similar."""
        return Table(self.knn).read(columns, where)

    def close(self) -> None:
        """Let go: from now on the version may be removed."""
        self._lock.close()

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def is_published(data: Path = DATA) -> bool:
    """Tell whether a version is served."""
    return versions.current(data / "publish") is not None


def open_current(data: Path = DATA) -> Serving:
    """Open the version that is served now; what is published later does not touch it.

    `ValueError` says in a line what to type when none is, or something of it is gone.
    """
    publish = data / "publish"
    for _ in range(TRIES):
        number = versions.current(publish)
        if number is None:
            raise NotReady(versions.behind(publish))
        folder = versions.folder(publish, number)
        try:
            lock = FileIO(folder / versions.LOCK)
        except FileNotFoundError:
            continue
        if locks.taken(lock, shared=True) and _stands(lock, folder):
            if not versions.damage(publish, number):
                return Serving(folder, number, lock)
            lock.close()
            break
        lock.close()
    raise NotReady(versions.behind(publish))


def _stands(lock: FileIO, folder: Path) -> bool:
    """Whether the folder is still the one whose lock we hold: it may have been removed just before."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), (folder / versions.LOCK).stat())
    except FileNotFoundError:
        return False
