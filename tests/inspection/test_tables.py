"""A table of photos: of every kind of file, its photos in whatever folder beside it, and what is refused."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.inspection.shops import put, put_table
from visnet.inspection import tables

FILES = [f"{number}.jpg" for number in range(12)]
HEADER = "sku kind file"
ROWS = [f"A{number // 2} {('hat', 'bag')[number // 6]} {name}" for number, name in enumerate(FILES)]
COLUMNS = {"product": "sku", "category": "kind", "path": "file"}


def arrow() -> pa.Table:
    cells = [row.split() for row in ROWS]
    return pa.table(dict(zip(HEADER.split(), map(list, zip(*cells, strict=True)), strict=True)))


@pytest.mark.parametrize("name", ["stock.csv", "stock.tsv", "stock.csv.gz", "stock.parquet", "parts", "kind"])
def test_a_table_of_any_kind_is_read(name: str, tmp_path: Path) -> None:
    put(tmp_path / "photos", *FILES)
    path = tmp_path / name
    if name == "stock.parquet":
        pq.write_table(arrow(), path)
    elif name == "stock.csv.gz":
        put_table(tmp_path / "plain.csv", HEADER, ROWS)
        path.write_bytes(gzip.compress((tmp_path / "plain.csv").read_bytes()))
    elif name == "parts":
        for at in range(2):
            put_table(path / f"part-{at}.csv", HEADER, ROWS[at * 6 : at * 6 + 6])
    elif name == "kind":
        pq.write_to_dataset(arrow(), path, partition_cols=["kind"])
    else:
        put_table(path, HEADER, ROWS, "\t" if name.endswith(".tsv") else ",")
    found = tables.inspect(path, name)
    assert found.own == {"images": "photos", "columns": COLUMNS}
    assert found.counts is not None
    assert (found.counts.photos, found.counts.products, found.counts.categories, found.counts.several) == (12, 6, 2, 6)


@pytest.mark.parametrize(
    ("images", "written"),
    [(".", "."), ("images", "images"), ("Bilder", "Bilder"), ("../pictures", "../pictures")],
)
def test_photos_are_found_where_the_first_of_them_are(images: str, written: str, tmp_path: Path) -> None:
    (tmp_path / "shop" / "empty").mkdir(parents=True)
    put(tmp_path / "shop" / images, *FILES)
    found = tables.inspect(put_table(tmp_path / "shop" / "stock.csv", HEADER, ROWS), "stock.csv")
    assert found.own["images"] == written


def test_absolute_paths_are_allowed_by_the_folder_that_holds_them(tmp_path: Path) -> None:
    root = put(tmp_path / "far" / "away", *FILES)
    rows = [f"{row.rpartition(' ')[0]} {root / row.split()[2]}" for row in ROWS]
    assert tables.inspect(put_table(tmp_path / "stock.csv", HEADER, rows), "").own["images"] == str(root)


def test_photos_of_the_web_are_taken_by_address_and_paths_only_where_they_exist(tmp_path: Path) -> None:
    rows = [f"{row} https://shop.example/{row.split()[2]}" for row in ROWS]
    path = put_table(tmp_path / "stock.csv", f"{HEADER} photo_url", rows)
    assert tables.inspect(path, "").own == {"columns": {"product": "sku", "category": "kind", "url": "photo_url"}}
    put(tmp_path, *FILES)
    assert tables.inspect(path, "").own == {"images": ".", "columns": COLUMNS}


def test_street_photos_pairs_and_products_in_two_splits_are_counted(tmp_path: Path) -> None:
    put(tmp_path, *FILES)
    rows = [f"{row} {('street', 'shop')[at % 2]} {('train', 'test')[at % 3 == 0]}" for at, row in enumerate(ROWS)]
    counts = tables.inspect(put_table(tmp_path / "stock.csv", f"{HEADER} side split", rows), "").counts
    assert counts is not None
    assert (counts.street, counts.paired, counts.shared) == (6, 6, 0)


def test_bytes_and_lists_of_a_parquet_table_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path, *FILES)
    table = arrow().append_column("image", pa.array([b"\xff"] * 12)).append_column("tags", pa.array([["a"]] * 12))
    pq.write_table(table, tmp_path / "stock.parquet")
    assert tables.inspect(tmp_path / "stock.parquet", "").own["columns"] == COLUMNS


REFUSED = {
    "one column": (
        b"_name\na.jpg\nb.jpg\n",
        "no column says what kind of product a photo shows; the table has _name; "
        'write in [raw_images.table.columns] category = "…"',
    ),
    "prose": (
        b"All cats, and dogs, are\ngrey, at, night\n",
        "no column says where a photo is or what kind of product a photo shows; "
        "the table has All cats, and dogs, are; write in ",
    ),
    "binary": (b"\x00\x01\x02\x03" * 99, "cannot be read: its first line: a NUL character"),
    "header alone": (b"sku,kind,file\n", "no row in it; columns: sku, kind, file"),
    "nothing": (b"", "no row in it; columns: none"),
    "photos that are not there": (
        b"sku,kind,file\n1,hat,a.jpg\n2,hat,b.jpg\n",
        "none of its photos is there, as a.jpg",
    ),
    "street photos alone": (b"sku,kind,url,side\n1,hat,http://x.org/a.jpg,street\n", "every photo is a street photo"),
    "broken rows": (b"sku,kind,file\n1,hat\n", "cannot be read: row 1 (line 2): 2 columns, and the header has 3"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_lacking_is_said_in_a_line(case: str, tmp_path: Path) -> None:
    data, said = REFUSED[case]
    (tmp_path / "stock.csv").write_bytes(data)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - what it says is compared below
        tables.inspect(tmp_path / "stock.csv", "stock.csv")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_photos_that_are_called_as_the_ids_are_named_in_the_refusal(tmp_path: Path) -> None:
    put(tmp_path / "images", "1163.jpg", "1164.jpg")
    path = put_table(tmp_path / "styles.csv", "id gender masterCategory", ["1163 Men Apparel", "1164 Men Footwear"])
    with pytest.raises(ValueError, match=r"photos as 1163\.jpg are in images: add a column of such names"):
        tables.inspect(path, "styles.csv")


def test_titles_prices_and_what_sorts_products_are_shown(tmp_path: Path) -> None:
    put(tmp_path / "photos", *FILES)
    header = f"{HEADER} Name Price-(EUR) brand page row description"
    sizes = ("S", "M")
    rows = [
        f"{row} Hat-{at} {at + 0.5} {sizes[at % 2]} https://shop.example/{at % 2} {at} {'long' * 20}{at % 2}"
        for at, row in enumerate(ROWS)
    ]
    found = tables.inspect(put_table(tmp_path / "stock.csv", header, rows), "stock.csv")
    assert found.own["columns"] == COLUMNS | {"title": "Name", "price": "Price-(EUR)"}
    assert found.own["attributes"] == ["brand"]
    assert ("Filters", "brand, beside category, colour, gender and price") in found.found
