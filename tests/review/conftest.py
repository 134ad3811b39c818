"""A built catalog with triplets, the file of marks, and a client of the page."""

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.review.marking import KINDS, PRODUCTS, TRIPLETS, crop, judged, served
from visnet.storage.table import Table


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("review") / "data"
    rows = []
    for number, product in enumerate(PRODUCTS):
        for photo in range(3):
            file = io.BytesIO()
            Image.new("RGB", (48, 32), (60 * number, 80 * photo, 200)).save(file, "JPEG")
            side = "shop" if photo else "street"
            rows.append(
                (
                    crop(product, photo),
                    f"{product}{photo}.jpg",
                    product,
                    "hat",
                    "",
                    side,
                    "train",
                    file.getvalue(),
                    "",
                    "",
                )
            )
    names = ["crop_id", "photo_id", "product_id", "category", "colour", "side", "split", "image", "source", "content"]
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    Table(folder / "crops" / "crops.lance", "crop_id").put(pa.table(columns))
    (folder / "triplets").mkdir()
    for split, chosen in {"train": TRIPLETS, "test": []}.items():
        q, p, n, kind = zip(*chosen, strict=True) if chosen else ([], [], [], [])
        kinds = pa.DictionaryArray.from_arrays(pa.array([KINDS.index(k) for k in kind], pa.int8()), pa.array(KINDS))
        ids = [pa.array(list(column), pa.string()).dictionary_encode() for column in (q, p, n)]
        pq.write_table(pa.table([*ids, kinds], names=["q", "p", "n", "kind"]), folder / "triplets" / f"{split}.parquet")
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "exclusions.csv"


@pytest.fixture
def client(data: Path, path: Path) -> Iterator[httpx.Client]:
    with served(judged(data, path)) as url, httpx.Client(base_url=url) as client:
        yield client
