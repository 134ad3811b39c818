"""The pairs that show one picture, with what was decided of them; and the groups of products that follow."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from visnet.duplicates import files
from visnet.duplicates.compared_pairs import features_of
from visnet.duplicates.decisions import CONFIRMED, DISMISSED, pair
from visnet.duplicates.groups import grouped
from visnet.duplicates.verdict import relations, scores
from visnet.storage.fingerprints import HASH_COLUMNS, fingerprint
from visnet.storage.table import Table

SIDES = ("crop_id", "product_id", "category", "key")
PAIRS = pa.schema(
    [
        ("pair_id", pa.string()),
        *[(f"{side}_{name}", pa.string()) for side in ("a", "b") for name in SIDES],
        ("relation", pa.string()),  # `verdict.RELATIONS`
        ("score", pa.float32()),  # how probable it is that both show one picture in one colour
        ("exact", pa.float32()),  # the share of the structure that is the same
        ("colour", pa.float32()),  # how far the colours of that are apart, of most of it: CIE 1976
        ("found_by", pa.string()),
        ("decision", pa.string()),  # "confirmed", "dismissed" or ""
        ("group", pa.string()),  # of the products, "" where both are one product, or not of one group
        *HASH_COLUMNS,
    ]
)


@dataclass(frozen=True)
class Listed:
    """Pairs as rows of `PAIRS` but for the hashes; product -> group by all pairs that stand, and by confirmed ones."""

    rows: pd.DataFrame
    groups: Mapping[str, str]
    confirmed: Mapping[str, str]


def listed(
    compared: pa.Table, photos: pd.DataFrame, decided: Mapping[tuple[str, ...], str], score_min: float
) -> Listed:
    """Keep the compared pairs that show one picture, and those that a person has confirmed, whatever their score.

    A pair that was dismissed is kept and joins nothing.
    """
    features, maps = features_of(compared)
    rows = compared.select(["pair_id", "found_by"]).to_pandas()
    known = photos.set_index("crop_id", drop=False)
    for side in ("a", "b"):
        own = known.loc[compared[side].to_pylist(), list(SIDES)].reset_index(drop=True)
        rows[[f"{side}_{name}" for name in SIDES]] = own
    rows["score"], rows["relation"] = scores(features), relations(features, maps)
    rows["exact"], rows["colour"] = features[:, 0].numpy(), features[:, 6].numpy()
    keys = zip(rows["a_key"], rows["b_key"], strict=True)
    rows["decision"] = [decided.get(pair(*two), "") for two in keys]
    rows = rows[(rows["score"] >= score_min) | (rows["decision"] == CONFIRMED)].reset_index(drop=True)
    groups = grouped(_products(rows[rows["decision"] != DISMISSED]))
    a, b = rows["a_product_id"], rows["b_product_id"]
    of, other = (side.map(lambda product: groups.get(product, "")) for side in (a, b))  # also where there are none
    rows["group"] = of.where((a != b) & (of == other), "")
    return Listed(rows, groups, grouped(_products(rows[rows["decision"] == CONFIRMED])))


def put(out: Path, found: Listed) -> tuple[int, int, int]:
    """Bring the table of pairs and the file of confirmed groups up to what was found; count new, changed and gone."""
    table = Table(out / files.TABLE, "pair_id")
    if not table.exists():
        table.put(PAIRS.empty_table())
    names = [column.name for column in PAIRS if column.name not in ("source", "content")]
    said = [fingerprint(*row) for row in found.rows[names].itertuples(index=False, name=None)]
    rows = pa.Table.from_pandas(found.rows.assign(source=said, content=said)[PAIRS.names], PAIRS, preserve_index=False)
    change = table.compare(rows.select(["pair_id", "source"]).rename_columns(["key", "source"]))
    table.delete(change.gone)
    todo = set(change.todo)
    table.put(rows.filter(pa.array([one in todo for one in found.rows["pair_id"]], pa.bool_())), change.changed)
    files.write(out, found.confirmed)
    return len(change.new), len(change.changed), len(change.gone)


def _products(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(rows["a_product_id"], rows["b_product_id"], strict=True))
