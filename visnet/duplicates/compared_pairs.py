"""The table of compared pairs: which there must be, what each looks like, and that none is compared twice."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from visnet.duplicates.candidates import Hashes, Numbers, hash_pairs, nearest_pairs, unique, vector_pairs
from visnet.duplicates.comparison import FEATURES, compare
from visnet.duplicates.views import SIDE_PX
from visnet.embedding.crop_dataset import CropImages
from visnet.pipeline.log import Log
from visnet.storage.fingerprints import HASH_COLUMNS, fingerprint, fingerprints
from visnet.storage.table import Difference, Table, wanted_rows

COMPARED_AT_ONCE = 128
COMMIT_EVERY = 8192
CROWD = 8  # pairs per photo that are compared for their embeddings alone, at most
MAP = [f"map_{at}" for at in range(6)]
COMPARED = pa.schema(
    [
        ("pair_id", pa.string()),
        ("a", pa.string()),  # crop ids, the lower first
        ("b", pa.string()),
        ("found_by", pa.string()),  # what these two alone say: "hash", "vector", both, or "": see `wanted_pairs`
        *[(name, pa.float32()) for name in (*FEATURES, *MAP)],
        *HASH_COLUMNS,
    ]
)


def wanted_pairs(
    photos: pd.DataFrame,
    table: Table,
    *,
    hashes: Hashes,
    vectors: torch.Tensor,
    new: np.ndarray,
    other: Numbers,
    photos_before: int,
    bits_max: int,
    sq_limit: float,
) -> pd.DataFrame:
    """List the pairs to be held against each other: a, b (rows of `photos`, [N]), found_by, pair_id, source.

    Photos that are not new ([N] bool) were held against each other before: what was found then stands in the table, and
    photos_before is how many there were. hashes: [N, V]; vectors: [N, D]. other: pairs for other reasons than their own
    likeness, rows [P, 2].
    """
    before, vector_pairs_before = _before(photos, table, new)
    # Where some were left out the last time, there is no knowing which: all are looked for again.
    crowded = vector_pairs_before >= CROWD * photos_before
    asked = np.ones(len(photos), bool) if crowded else new
    found = {"hash": hash_pairs(hashes, new, bits_max), "vector": vector_pairs(vectors, asked, sq_limit)}
    found = {name: unique(np.concatenate([pairs, before[name]])) for name, pairs in found.items()}
    found["vector"] = nearest_pairs(vectors, found["vector"], CROWD * len(photos))
    every = unique(np.concatenate([*found.values(), other]))
    size = len(photos)
    numbers = every[:, 0] * size + every[:, 1]
    by = {name: np.isin(numbers, pairs[:, 0] * size + pairs[:, 1]) for name, pairs in found.items()}
    words = np.array(["", "hash", "vector", "hash, vector"], object)
    rows = pd.DataFrame({"a": every[:, 0], "b": every[:, 1], "found_by": words[by["hash"] + 2 * by["vector"]]})
    ids, sources = (photos[name].to_numpy(object) for name in ("crop_id", "source"))
    sides = [pa.array(column[rows[side]], pa.string()) for column in (ids, sources) for side in ("a", "b")]
    rows["pair_id"] = fingerprints(*sides[:2])
    rows["source"] = fingerprints(*sides[2:], pa.array(rows["found_by"], pa.string()))
    return rows


def bring(table: Table, pairs: pd.DataFrame, photos: pd.DataFrame, crops: Path, log: Log) -> Difference:
    """Compare the pairs that are new or changed, by the pictures in the table of crops at `crops`."""
    if not table.exists():
        table.put(COMPARED.empty_table())
    change = table.compare(wanted_rows(pairs["pair_id"], pairs["source"]))
    table.delete(change.gone)
    todo = pairs[pairs["pair_id"].isin(set(change.todo))]
    places = np.unique(todo[["a", "b"]].to_numpy())
    crop_ids = photos["crop_id"].to_numpy(object)
    pictures = CropImages(crops, crop_ids[places].tolist(), SIDE_PX)
    with log.progress("pairs", len(pairs), done=change.same, unit="pair") as progress:
        for first in range(0, len(todo), COMMIT_EVERY):
            some = todo.iloc[first : first + COMMIT_EVERY]
            parts = []
            for at in range(0, len(some), COMPARED_AT_ONCE):
                part = some.iloc[at : at + COMPARED_AT_ONCE]
                sides = (np.searchsorted(places, part[side]) for side in ("a", "b"))
                seen = compare(*(pictures.__getitems__(side.tolist()) for side in sides))
                parts.append(torch.cat([seen.features, seen.maps.flatten(1)], dim=1).numpy())
                progress.advance(len(part))
            table.put(_rows(some, crop_ids, np.concatenate(parts)), change.changed)
    return change


def features_of(table: pa.Table) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what pairs of the table look like, [P, F], and how they lie on each other, [P, 2, 3]."""
    features, maps = (
        np.column_stack([table[name].to_numpy() for name in names]).astype(np.float32) for names in (FEATURES, MAP)
    )
    return torch.from_numpy(features), torch.from_numpy(maps).view(-1, 2, 3)


def near_pairs(photos: pd.DataFrame, vectors: torch.Tensor, lists: Iterable[tuple[str, str, Sequence[str]]]) -> Numbers:
    """List the pairs of each product's photos and the nearest others', rows [P, 2], whatever their distance.

    vectors: [N, D] of `photos`. lists: category, product, and photos of its nearest others, each with its nearest own.
    """
    number = {crop: at for at, crop in enumerate(photos["crop_id"])}
    own = photos.groupby(["category", "product_id"]).indices
    found = [np.empty((0, 2), np.int64)]
    for category, product, crops in lists:
        mine, theirs = own.get((category, product)), [number[crop] for crop in crops if crop in number]
        if mine is None or not theirs:
            continue
        apart = torch.cdist(vectors[theirs].double(), vectors[mine].double())
        found.append(np.column_stack([mine[apart.argmin(1).numpy()], theirs]))
    return np.concatenate(found)


def _before(photos: pd.DataFrame, table: Table, new: np.ndarray) -> tuple[dict[str, Numbers], int]:
    """Return the pairs of photos that are not new, by what they were found by; and how many there were by vectors."""
    nothing = np.empty((0, 2), np.int64)
    if not table.exists():
        return {"hash": nothing, "vector": nothing}, 0
    old = table.read(["a", "b", "found_by"], "found_by != ''").to_pandas()
    index = pd.Index(photos["crop_id"])
    rows = np.column_stack([index.get_indexer(old[side]) for side in ("a", "b")])
    stands = (rows >= 0).all(axis=1) & ~new[rows].any(axis=1)
    by = {name: old["found_by"].str.contains(name).to_numpy() for name in ("hash", "vector")}
    return {name: rows[stands & mask] for name, mask in by.items()}, int(by["vector"].sum())


def _rows(pairs: pd.DataFrame, crop_ids: np.ndarray, measured: np.ndarray) -> pa.Table:
    columns = {side: pa.array(crop_ids[pairs[side]], pa.string()) for side in ("a", "b")}
    columns |= {name: pa.array(pairs[name].tolist(), pa.string()) for name in ("pair_id", "found_by", "source")}
    columns |= {name: pa.array(measured[:, at]) for at, name in enumerate((*FEATURES, *MAP))}
    content = [fingerprint(by, row.tobytes()) for by, row in zip(pairs["found_by"], measured, strict=True)]
    return pa.table({**columns, "content": pa.array(content, pa.string())}, schema=COMPARED)
