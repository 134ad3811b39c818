"""The events of a catalog as a table, and how well the version that is served finds what people opened and bought."""

import contextlib
import datetime
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from visnet.evaluation import judged
from visnet.serving.catalog import Serving
from visnet.serving.events import FILE
from visnet.storage.database import WAIT_S

SCHEMA = pa.schema(
    {
        "event_id": pa.string(),
        "query_id": pa.string(),
        "product_id": pa.string(),
        "kind": pa.string(),
        "position": pa.int32(),
        "at": pa.timestamp("us", "UTC"),
        "model": pa.string(),
        "vector": pa.list_(pa.float32()),
    }
)


def read_events(data: Path) -> pa.Table:
    """Read all events of a catalog in the order of their time, as `SCHEMA` has them; none where nothing was told."""
    if not (data / FILE).exists():
        return SCHEMA.empty_table()
    with contextlib.closing(_opened(data / FILE)) as database:
        rows = database.execute(
            "SELECT event_id, query_id, product_id, kind, position, at, model, vector "
            "FROM events JOIN asked USING (query_id) ORDER BY at, event_id"
        ).fetchall()
    columns = list(map(list, zip(*rows, strict=True))) or [[] for _ in SCHEMA]
    columns[5] = [datetime.datetime.fromisoformat(text) for text in columns[5]]
    columns[7] = [np.frombuffer(vector, "<f4") for vector in columns[7]]
    return pa.table(columns, schema=SCHEMA)


def counts_of(data: Path, product_id: str) -> dict[str, int]:
    """Count the events of a product by their kind, the most frequent first."""
    if not (data / FILE).exists():
        return {}
    asked = "SELECT kind, count(*) FROM events WHERE product_id = ? GROUP BY kind ORDER BY count(*) DESC, kind"
    with contextlib.closing(_opened(data / FILE)) as database:
        return dict(database.execute(asked, (product_id,)))


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", timeout=WAIT_S, uri=True)


def measured(events: pa.Table, version: Serving) -> tuple[pd.DataFrame, dict[str, int]]:
    """Measure what `visnet.evaluation.judged` says of a version's answers; and count what could not be measured.

    A query whose vector is by another model than the version's is left out ("of another model"), and so is a product
    that the version has not ("no more in the catalog").
    """
    shop = version.vectors().of(side="shop")
    ours = events["model"].to_numpy(zero_copy_only=False) == shop.model
    known = np.isin(events["product_id"].to_numpy(zero_copy_only=False), shop.rows["product_id"].to_numpy(object))
    kept = events.filter(pa.array(ours & known, pa.bool_()))
    table = kept.select(["query_id", "product_id", "kind"]).to_pandas()
    flat = kept["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    vectors = torch.from_numpy(flat.reshape(-1, shop.matrix.shape[1]).copy())
    left_out = {"of another model": int((~ours).sum()), "no more in the catalog": int((ours & ~known).sum())}
    return judged.recall_rows(table, vectors, shop), left_out
