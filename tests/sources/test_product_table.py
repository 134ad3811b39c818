"""What a table says of products beside their photos: titles, prices and further columns, from its cells to a facet."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.inspection.shops import put
from visnet.pipeline.log import SILENT
from visnet.serving.columns.attributes import shown_attributes
from visnet.serving.columns.table import of_table
from visnet.serving.columns.values import NumberColumn, TextColumn
from visnet.sources import table
from visnet.stages import raw_images
from visnet.storage.table import Table

HEADER = ["sku", "kind", "file", "Name", "Price (EUR)", "In stock", "Code"]
ROWS = [
    ["A", "hat", "1.jpg", "", "19.90", "yes", "007"],
    ["A", "hat", "2.jpg", "Straw hat", "20", "no", "008"],
    ["B", "hat", "3.jpg", 'Hat, "felt"', "", "no", "12"],
    ["C", "hat", "4.jpg", "", "", "", ""],
]
COLUMNS = {"product": "sku", "category": "kind", "path": "file", "title": "Name", "price": "Price (EUR)"}
SAID = {
    "A": {
        "title": "Straw hat",
        "price": 19.9,
        "In stock": "yes",
        "Code": "007",
    },  # of each, the first photo that has it
    "B": {"title": 'Hat, "felt"', "In stock": "no", "Code": "12"},
    "C": {},
}


def write(folder: Path, rows: list[list[str]] = ROWS) -> Path:
    put(folder / "images", *(row[2] for row in rows))
    with (folder / "stock.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows])
    return folder / "stock.csv"


def params(metadata: Path, **own: object) -> raw_images.Params:
    own = {"columns": COLUMNS, "attributes": ["In stock", "Code"]} | own
    return raw_images.Params.model_validate({"source": "table", "metadata": str(metadata), "table": own})


def built(out: Path, given: raw_images.Params) -> dict[str, object]:
    out.mkdir(exist_ok=True)
    raw_images.build(out=out, params=given, log=SILENT)
    found = Table(out / "catalog.lance").read(["product_id", "attributes"])
    return {row["product_id"]: json.loads(row["attributes"]) for row in found.to_pylist()}


def test_each_product_has_what_the_first_of_its_rows_says(tmp_path: Path) -> None:
    assert built(tmp_path / "out", params(write(tmp_path))) == SAID


def test_only_what_differs_is_written_again_and_what_is_gone_goes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    built(out, params(write(tmp_path)))
    kept = Table(out / "catalog.lance")
    before = kept.version
    assert built(out, params(write(tmp_path))) == SAID
    assert kept.version == before
    rows = [row for row in ROWS if row[0] != "B"]
    rows[0] = [*rows[0][:4], "21.5", *rows[0][5:]]
    assert built(out, params(write(tmp_path, rows))) == {"A": SAID["A"] | {"price": 21.5}, "C": {}}


def test_a_price_in_words_stays_as_the_shop_writes_it(tmp_path: Path) -> None:
    rows = [[*row[:4], price, *row[5:]] for row, price in zip(ROWS, ["19.90", "20", "on request", "5 €"], strict=True)]
    found = built(tmp_path / "out", params(write(tmp_path, rows)))
    assert [said.get("price") for said in found.values()] == ["19.90", "on request", "5 €"]


def test_the_table_that_a_source_of_before_has_left_gives_way_both_ways(tmp_path: Path) -> None:
    out = tmp_path / "out"
    built(out, params(write(tmp_path)))
    feed = tmp_path / "inbox"
    put(feed / "photos", "1.jpg")
    record = {"product_id": "A", "op": "upsert", "seq": 1, "category": "hat", "photos": ["1.jpg"]}
    (feed / "1.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    own = {"photos": str(feed / "photos"), "pattern": "*.jsonl"}
    given = raw_images.Params.model_validate({"source": "feed", "metadata": str(feed), "feed": own})
    for _ in range(2):  # to and fro
        raw_images.build(out=out, params=given, log=SILENT)
        assert Table(out / "catalog.lance").read(["op"])["op"].to_pylist() == ["upsert"]
        assert built(out, params(tmp_path / "stock.csv")) == SAID
    raw_images.build(out=out, params=params(tmp_path / "stock.csv", columns=plain(), attributes=[]), log=SILENT)
    assert not Table(out / "catalog.lance").exists()


def plain() -> dict[str, str]:
    return {field: name for field, name in COLUMNS.items() if field not in ("title", "price")}


def test_parquet_shows_its_own_kinds_of_values(tmp_path: Path) -> None:
    put(tmp_path / "images", "1.jpg", "2.jpg")
    cells = {"sku": ["A", "B"], "kind": ["hat"] * 2, "file": ["1.jpg", "2.jpg"], "Name": ["One", None]}
    more = {"Price (EUR)": [2.5, None], "In stock": [True, False], "Code": [7, 8]}
    pq.write_table(pa.table({**cells, **more}), tmp_path / "stock.parquet")
    found = built(tmp_path / "out", params(tmp_path / "stock.parquet"))
    assert found == {
        "A": {"title": "One", "price": 2.5, "In stock": "yes", "Code": 7.0},
        "B": {"In stock": "no", "Code": 8.0},
    }


def test_they_are_columns_to_filter_by_and_words_on_the_page(tmp_path: Path) -> None:
    listed = table.listing(params(write(tmp_path)).own, tmp_path / "stock.csv").products
    assert listed is not None
    found = {column.name: column for column in of_table(listed.drop_columns(["source", "content"]), np.arange(3), ())}
    assert {name: type(column) for name, column in found.items()} == {
        **dict.fromkeys(("title", "In stock", "Code"), TextColumn),
        "price": NumberColumn,
    }
    assert shown_attributes({"attributes": json.dumps(SAID["A"])}) == {
        "title": "Straw hat",
        "price": "19.9",
        "In stock": "yes",
        "Code": "007",
    }


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="attributes: no column 'Stock'; the table has sku, kind, file, Name"):
        table.listing(params(write(tmp_path), attributes=["Stock"]).own, tmp_path / "stock.csv")
    with pytest.raises(ValueError, match=r"columns.title: no column 'Title'; the table has sku"):
        table.listing(params(write(tmp_path), columns=COLUMNS | {"title": "Title"}).own, tmp_path / "stock.csv")
