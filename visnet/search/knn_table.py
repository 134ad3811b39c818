"""The table of answers, and what keeps them exact: lists as rows of strings, and rows as lists again."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from visnet.search.knn_lists import GONE, SPARE, Ints, Lists, nothing
from visnet.storage import atomic
from visnet.storage.fingerprints import HASH_COLUMNS, fingerprint
from visnet.storage.table import Table

VERSION = 1  # raise when the same vectors give other lists than before
ANSWERS = pa.schema(
    [
        ("query_id", pa.string()),  # a street crop, or the hash of category and product
        ("kind", pa.string()),  # "street" or "similar"
        ("product_id", pa.string()),  # the query's own
        ("category", pa.string()),
        ("products", pa.list_(pa.string())),  # nearest first
        ("crops", pa.list_(pa.string())),  # the nearest photo of each
        ("sq_distances", pa.list_(pa.float32())),
        ("model", pa.string()),
        # The answer and what comes after it, up to which photo at which distance nothing is left out:
        ("kept_crops", pa.list_(pa.string())),
        ("kept_sq_distances", pa.list_(pa.float32())),
        ("reach_sq_distance", pa.float32()),
        ("reach_crop", pa.string()),
        ("made", pa.string()),  # by which model, for how many answers
        *HASH_COLUMNS,
    ]
)
APPLIED = pa.schema(  # the photos that the lists were made of
    [
        ("crop_id", pa.string()),
        ("product_id", pa.string()),
        ("category", pa.string()),
        ("side", pa.string()),
        *HASH_COLUMNS,
    ]
)
MARK = "being applied"
STATE = [
    "query_id",
    "kind",
    "category",
    "kept_crops",
    "kept_sq_distances",
    "reach_sq_distance",
    "reach_crop",
    "made",
    "content",
]


def made_by(model: str, kind: str, k: int) -> str:
    """Return what must be equal for a list to be brought up to date instead of made anew."""
    return fingerprint(VERSION, SPARE, model, kind, k)


@dataclass(frozen=True)
class Known:
    """What stands in the tables of an earlier run."""

    answers: pa.Table
    applied: pd.DataFrame

    def answers_of(self, category: str) -> pa.Table:
        """Narrow to a category."""
        return self.answers.filter(pc.equal(self.answers["category"], category))


def known_of(folder: Path) -> Known:
    """Read what an earlier run left; tables of an older layout are removed, and made anew."""
    answers, applied = _tables(folder)
    for table, schema in ((answers, ANSWERS), (applied, APPLIED)):
        if table.exists() and table.columns != schema.names:
            atomic.remove(table.path)
        if not table.exists():
            table.put(schema.empty_table())
    return Known(answers.read(STATE), applied.read(APPLIED.names).to_pandas())


def _tables(folder: Path) -> tuple[Table, Table]:
    return Table(folder / "knn.lance", "query_id"), Table(folder / "applied.lance", "crop_id")


class Changes:
    """What is to be written, in an order that a kill at any instant leaves to the next run.

    Photos that differ are marked in `applied` before the first list is written, and said to be what they are after the
    last. So the lists of a run that died are never taken for those of the photos before it.

    differing: the photos that are not those which the lists were made of, as they are and as they were.
    """

    def __init__(self, folder: Path, known: Known, photos: pd.DataFrame, commit_rows: int) -> None:
        self.added = self.changed = 0
        self._answers, self._applied = _tables(folder)
        self._content = dict(zip(*(known.answers[name].to_pylist() for name in ("query_id", "content")), strict=True))
        self._gone = set(self._content)
        self._commit_rows = commit_rows
        self._rows: list[pa.Table] = []
        before = known.applied.set_index("crop_id", drop=False)
        at = before.index.get_indexer(photos["crop_id"])
        was = np.where(at >= 0, before["source"].to_numpy(object)[at], None) if len(before) else [None] * len(at)
        self._new = photos.loc[was != photos["source"].to_numpy(object), APPLIED.names]
        stays = np.zeros(len(before), bool)
        stays[at[at >= 0]] = True
        self._left = before.loc[~stays, APPLIED.names]
        old = before.loc[before.index.intersection(self._new["crop_id"]), APPLIED.names]
        self.differing = pd.concat([self._new, self._left, old])
        marked = pd.concat([self._new, self._left]).assign(source=MARK, content=MARK)
        self._applied.put(_applied(marked), before.index)

    def take(self, query_ids: Iterable[str], rows: pa.Table) -> None:
        """Take the rows that may differ from those before, of all the queries that there are in a category."""
        self._gone.difference_update(query_ids)
        for query_id, content in zip(rows["query_id"].to_pylist(), rows["content"].to_pylist(), strict=True):
            self.added += query_id not in self._content
            self.changed += self._content.get(query_id, content) != content
        self._rows.append(rows)
        if sum(table.num_rows for table in self._rows) >= self._commit_rows:
            self._commit()

    def finish(self) -> int:
        """Write what is left, and at last the photos that all lists are made of now; return how many queries went."""
        self._commit()
        self._answers.delete(sorted(self._gone))
        self._applied.put(_applied(self._new), self._new["crop_id"])
        self._applied.delete(self._left["crop_id"].tolist())
        return len(self._gone)

    def _commit(self) -> None:
        if self._rows:
            self._answers.put(pa.concat_tables(self._rows), self._content)
            self._rows = []


def _applied(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, schema=APPLIED, preserve_index=False)


def rows_of(
    kind: str,
    category: str,
    owners: pd.DataFrame,
    lists: Lists,
    k: int,
    *,
    crop_id: NDArray[np.object_],
    product_id: NDArray[np.object_],
    model: str,
) -> pa.Table:
    """Write lists as rows of `ANSWERS`; `owners` has query_id and product_id, and the gallery its crops' ids [G]."""
    crops, products = pa.array(crop_id, pa.string()), pa.array(product_id, pa.string())
    head = Lists(lists.row[:, :k], lists.sq_distance[:, :k], lists.reach_sq_distance, lists.reach_row)
    answer_crops, answer_distances = _ragged(head, crops)
    kept_crops, kept_distances = _ragged(lists, crops)
    content = [
        hashlib.sha256("\x1f".join([query, *names]).encode() + distances.tobytes()).hexdigest()[:32]
        for query, names, distances in zip(owners["query_id"], answer_crops.to_pylist(), head.sq_distance, strict=True)
    ]
    reach = pa.array(
        np.where(lists.reach_row >= 0, crop_id[lists.reach_row], "") if len(crop_id) else [""] * len(lists)
    )
    count, made = len(owners), made_by(model, kind, k)
    columns = {
        "query_id": pa.array(owners["query_id"], pa.string()),
        "kind": [kind] * count,
        "product_id": pa.array(owners["product_id"], pa.string()),
        "category": [category] * count,
        "products": _ragged(head, products)[0],
        "crops": answer_crops,
        "sq_distances": answer_distances,
        "model": [model] * count,
        "kept_crops": kept_crops,
        "kept_sq_distances": kept_distances,
        "reach_sq_distance": lists.reach_sq_distance,
        "reach_crop": reach.cast(pa.string()),
        "made": [made] * count,
        "source": [fingerprint(made, row) for row in content],
        "content": content,
    }
    return pa.table([columns[name] for name in ANSWERS.names], schema=ANSWERS)


def lists_of(table: pa.Table, query_ids: Sequence[str], crop_id: NDArray[np.object_], width: int) -> Lists:
    """Read lists back, in the rows of today's gallery; an owner that is not in the table has `nothing`."""
    lists = nothing(len(query_ids), width)
    at = pc.index_in(pa.array(query_ids, pa.string()), value_set=table["query_id"].combine_chunks())
    had = np.flatnonzero(at.is_valid().to_numpy(zero_copy_only=False))
    table = table.take(at.drop_null())
    if not len(had):
        return lists
    kept = table["kept_crops"].combine_chunks()
    count = pc.list_value_length(kept).to_numpy(zero_copy_only=False)
    row = _rows_of(kept.flatten(), crop_id)
    owner = np.repeat(had, count)
    column = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    lists.row[owner, column] = np.where(row >= 0, row, GONE)
    lists.sq_distance[owner, column] = table["kept_sq_distances"].combine_chunks().flatten().to_numpy()
    lists.reach_sq_distance[had] = table["reach_sq_distance"].to_numpy()
    reach_crop = table["reach_crop"].combine_chunks()
    reach = _rows_of(reach_crop, crop_id)
    lost = np.flatnonzero(reach < 0)  # the photo is no more: what came before its place is still within reach
    reach[lost] = np.searchsorted(crop_id, reach_crop.take(pa.array(lost)).to_numpy(zero_copy_only=False), "right") - 1
    lists.reach_row[had] = reach
    return lists


def _rows_of(ids: pa.Array, crop_id: NDArray[np.object_]) -> Ints:
    found = pc.fill_null(pc.index_in(ids, value_set=pa.array(crop_id, pa.string())), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False), np.int64).copy()


def _ragged(lists: Lists, names: pa.Array) -> tuple[pa.ListArray, pa.ListArray]:
    there = lists.row >= 0
    offsets = pa.array(np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32))
    return (
        pa.ListArray.from_arrays(offsets, names.take(pa.array(lists.row[there]))),
        pa.ListArray.from_arrays(offsets, pa.array(lists.sq_distance[there], pa.float32())),
    )
