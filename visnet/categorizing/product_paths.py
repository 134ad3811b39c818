"""The categories of products that the source gives none: what the answers for their shop photos together tell.

A photo is one look at its product, and each is as good as another: a node of the taxonomy is as probable as the mean of
the probabilities that the photos give it, which is that of a photo drawn at random among them. Only the likeliest path
of each photo is kept, so that what a photo gives a node beside its path counts as zero: the mean is never more than
that, and photos that contradict each other are answered less deep. From the root the more probable node is followed as
long as it is sure enough. Of one photo, this is its own answer.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from visnet.storage import atomic
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import Table, wanted_rows
from visnet.taxonomy.tree import prefixes

COLUMNS = pa.schema(
    [
        ("product_id", pa.string()),
        ("path", pa.string()),  # as deep as it is sure
        ("probability", pa.float64()),  # of its last level
        ("photos", pa.int64()),
        ("taxonomy", pa.string()),
        ("source", pa.string()),
        ("content", pa.string()),
    ]
)


class PhotoPath(NamedTuple):
    """The likeliest path of a photo, as a text, and the probability of each of its levels, in 0..1; "" has none."""

    path: str
    level_probabilities: Sequence[float]


def together(photos: Sequence[PhotoPath], sure: float) -> tuple[str, float]:
    """Tell the path of what several photos show, cut where it is less probable than `sure`, and its probability.

    The path is "", and its probability 0, where the first level is not sure enough. Of equally probable nodes the first
    by its text is followed. `ValueError` of no photo.
    """
    if not photos:
        raise ValueError("no photo: a product is told by at least one")
    below: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))  # node -> next node -> sum
    for photo in photos:
        above = ""
        for node, probability in zip(prefixes(photo.path), photo.level_probabilities, strict=True):
            below[above][node] += probability
            above = node
    path, known = "", 0.0
    while path in below:
        node, summed = min(below[path].items(), key=lambda pair: (-pair[1], pair[0]))
        if (mean := summed / len(photos)) < sure:
            break
        path, known = node, mean
    return path, known


def bring_products(crops: pd.DataFrame, answers: pd.DataFrame, sure: float, table: Table) -> tuple[int, int]:
    """Bring the told categories up to the crops; return how many products lack one, and how many of them are told.

    crops: crop_id, product_id, category and side. answers: path, probabilities and taxonomy by crop_id. A product lacks
    a category where none of its shop photos has one. Where no product is told any, there is no table.
    """
    shop = crops[crops["side"] == "shop"]
    shop = shop[~shop["product_id"].isin(shop.loc[shop["category"].fillna("") != "", "product_id"])]
    rows = shop.join(answers[["path", "probabilities", "taxonomy"]], on="crop_id", how="inner")
    found = []
    for product_id, own in rows.groupby("product_id", sort=True):
        photos = [PhotoPath(*pair) for pair in zip(own["path"], own["probabilities"], strict=True)]
        path, probability = together(photos, sure)
        if path:
            told = product_id, path, float(probability), len(photos), own["taxonomy"].iloc[0]
            found.append((*told, content := fingerprint(*map(str, told)), content))
    if found:
        _write(table, pa.Table.from_pylist([dict(zip(COLUMNS.names, row, strict=True)) for row in found], COLUMNS))
    elif table.path.exists():
        atomic.remove(table.path)
    return shop["product_id"].nunique(), len(found)


def _write(table: Table, rows: pa.Table) -> None:
    change = table.compare(wanted_rows(rows["product_id"].to_pylist(), rows["source"].to_pylist()))
    wanted = set(change.todo)
    table.put(rows.filter(pa.array([name in wanted for name in rows["product_id"].to_pylist()])), change.changed)
    table.delete(change.gone)
