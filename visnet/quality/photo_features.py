"""The tables of features: what each photo looks like, kept by what it is of, so that none is looked at twice."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from visnet.pipeline.log import Log
from visnet.storage.fingerprints import HASH_COLUMNS, fingerprint
from visnet.storage.table import Difference, Table, wanted_rows

COMMIT_EVERY = 512
READ_AT_ONCE = 4096
FEATURED = pa.schema([("key", pa.string()), ("features", pa.binary()), *HASH_COLUMNS])  # float16 [D]

Look = Callable[[Sequence[Image.Image]], NDArray[np.float32]]
Pictures = Callable[[Sequence[str]], Iterator[tuple[str, Image.Image]]]


def bring(table: Table, wanted: dict[str, str], pictures: Pictures, look: Look, log: Log, what: str) -> Difference:
    """Bring a table up to the wanted photos, key -> what it is made of; `pictures` gives those of some keys.

    A key of which `pictures` gives none has a row without features, and is not asked for again.
    """
    if not table.exists():
        table.put(FEATURED.empty_table())
    change = table.compare(wanted_rows(list(wanted), list(wanted.values())))
    table.delete(change.gone)
    with log.progress(what, len(wanted), done=change.same, unit="photo") as progress:
        for first in range(0, len(change.todo), COMMIT_EVERY):
            some = change.todo[first : first + COMMIT_EVERY]
            found = dict(pictures(some))
            seen = dict(zip(found, look(list(found.values())).astype(np.float16), strict=True))
            raw = [seen[key].tobytes() if key in seen else None for key in some]
            sources = [wanted[key] for key in some]
            content = [fingerprint(*two) for two in zip(sources, raw, strict=True)]
            table.put(pa.table([some, raw, sources, content], schema=FEATURED), change.changed)
            progress.advance(len(some))
    return change


def read(path: Path) -> tuple[list[str], NDArray[np.float16]]:
    """Read all of a table that has features: keys in order, and their features [N, D]."""
    table = Table(path, "key").read(["key", "features"], "features IS NOT NULL").sort_by("key")
    raw = table["features"].to_pylist()
    return table["key"].to_pylist(), np.array([np.frombuffer(one, np.float16) for one in raw])


def slices(path: Path) -> Iterator[tuple[list[str], NDArray[np.float16]]]:
    """Yield the keys and features of some thousands of rows at a time, in the table's own order."""
    opened = Table(path, "key").opened()
    for batch in opened.to_batches(columns=["key", "features"], filter="features IS NOT NULL", batch_size=READ_AT_ONCE):
        raw = batch["features"].to_pylist()
        if raw:
            yield batch["key"].to_pylist(), np.stack([np.frombuffer(one, np.float16) for one in raw])
