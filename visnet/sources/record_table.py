"""The table of records: which product a photo or a box of it shows, keyed by what the crop is."""

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from visnet.sources.listing import RECORDS
from visnet.storage.fingerprints import HASH_COLUMNS, fingerprints
from visnet.storage.table import Table, wanted_rows

CROP = ["photo_id", "product_id", "left", "top", "width", "height"]  # what a crop is, and what its id is made of


def keyed(records: pa.Table) -> pa.Table:
    """Give the records their crop ids and hashes, in the order of `CROP`; equal records become one.

    An id says what the crop is and not where it stands: it stays whatever else is listed, and no other crop can take
    it. Where a source lists one crop several times with other facts (a product in two categories), their ids are made
    of these, too.
    """
    records = records.sort_by([(name, "ascending") for name in CROP])
    whole = pd.Series(fingerprints(*records.columns), dtype=object)
    first = ~whole.duplicated()
    records, whole = records.filter(pa.array(first)), whole[first].reset_index(drop=True)
    crop_id = pd.Series(fingerprints(*records.select(CROP).columns), dtype=object)
    crop_id = crop_id.where(~crop_id.duplicated(keep=False), whole)
    schema = pa.schema([("crop_id", pa.string()), *RECORDS, *HASH_COLUMNS])
    return pa.table([pa.array(crop_id), *records.columns, pa.array(whole), pa.array(whole)], schema=schema)


def by_category(records: pa.Table, photos: pa.Table) -> pd.DataFrame:
    """Count the photos that show each category, and those of them that are lost.

    records: with photo_id and category; photos: with photo_id and lost, the reason or null. Returns category, photos,
    lost, by category.
    """
    shown = records.select(["photo_id", "category"]).to_pandas().drop_duplicates()
    lost = set(photos.filter(pc.is_valid(photos["lost"]))["photo_id"].to_pylist())
    shown["lost"] = shown["photo_id"].isin(lost)
    found = shown.groupby("category", sort=True)["lost"].agg(photos="size", lost="sum")
    return found.reset_index()


def write(table: Table, records: pa.Table) -> int:
    """Bring the table up to the keyed records; return how many rows were written."""
    crop_id, source = (records[name].to_pylist() for name in ("crop_id", "source"))
    change = table.compare(wanted_rows(crop_id, source))
    table.put(records.filter(pc.is_in(records["crop_id"], pa.array(change.todo, pa.string()))), change.changed)
    table.delete(change.gone)
    return len(change.todo)
