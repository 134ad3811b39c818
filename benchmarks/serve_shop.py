"""A published shop of many products whose vectors are random, written by hand; and its next versions.

python benchmarks/serve_shop.py FOLDER      # publishes the next version of one
"""

import hashlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from visnet.embedding.vectors import model_of
from visnet.photos import codec
from visnet.pipeline.log import SILENT
from visnet.serving import candidate, catalog, galleries, versions
from visnet.serving.searcher import Searcher
from visnet.serving.shop_gallery import ShopGallery
from visnet.stages import knn_results
from visnet.storage.table import Table

CATEGORIES = 20
DIMENSIONS = 256
KEEP = 3  # versions


def write(folder: Path, model_of_shop: Path, products: int) -> Path:
    """Write crops, embeddings and lists of as many products as wanted, by the model of a published shop; publish them.

    Every product has one photo, and all photos are one tiny picture. The first of them has the vector that the model
    gives it, by which a service knows that it works; the others have random unit vectors.
    """
    with catalog.open_current(model_of_shop / "data") as version:
        searcher = Searcher(version.trained_model, ShopGallery.read(version.folder))
    rng = np.random.default_rng(1)
    picture = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((48, 48))
    jpeg = codec.encode(picture)
    vectors = rng.standard_normal((products, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[0] = searcher.embed([codec.decode(jpeg)])[0].numpy()
    put(folder, model_of_shop, [jpeg] * products, vectors)
    return publish(folder)


def put(folder: Path, model_of_shop: Path, jpegs: Sequence[bytes], vectors: np.ndarray) -> None:
    """Write a line's tables: a product for each photo, with its vector [N, D] float32 by the model of a shop."""
    data, products = folder / "data", len(jpegs)
    data.mkdir(parents=True)
    named = model(model_of_shop)
    with catalog.open_current(model_of_shop / "data") as version:
        (data / "trained_model").symlink_to(version.trained_model.resolve())
    names = [f"product-{number:07d}" for number in range(products)]
    category = [f"category-{number * CATEGORIES // products:02d}" for number in range(products)]
    crops = _rows(names, category) | {
        "image": pa.array(jpegs, pa.large_binary()),
        **{side: pa.nulls(products, pa.float64()) for side in ("left", "top", "width", "height")},
        "lost": pa.nulls(products, pa.string()),
    }
    order = ["crop_id", "photo_id", "product_id", "category", "side", "split", "colour", "gender"]
    order += ["left", "top", "width", "height", "image", "lost", "source", "content"]
    Table(data / "crops/crops.lance", "crop_id").put(pa.table({name: crops[name] for name in order}))
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    embedded = _rows(names, category) | {"model": [named] * products, "embedding": flat}
    order = ["crop_id", "product_id", "category", "side", "colour", "model", "embedding", "source", "content"]
    table = Table(data / "catalog_embeddings/embeddings.lance", "crop_id")
    table.put(pa.table({name: embedded[name] for name in order}))
    lists = data / "knn_results"
    lists.mkdir()
    knn_results.build(data / "catalog_embeddings", out=lists, params=knn_results.Params(), log=SILENT)


def model(folder: Path) -> str:
    """Return the id of the model that a published shop's vectors are by."""
    with catalog.open_current(folder / "data") as version:
        return model_of(version.folder)


def publish(folder: Path) -> Path:
    """Publish it as the next version, in which every product says the version's number as its edition."""
    data, place = folder / "data", folder / "data/publish"
    number, building = versions.begin(place)
    names = Table(data / "crops/crops.lance").read(["product_id"])["product_id"]
    table = data / "raw_images/catalog.lance"
    edition = pa.array([str(number)] * len(names))
    said = Table(table, "product_id")
    rows = pa.table({"product_id": names, "edition": edition, "source": edition, "content": edition})
    said.put(rows, names.to_pylist() if said.exists() else ())
    if said.exists():
        said.forget_older()
    made = candidate.assemble(candidate.of_line(data), building)
    galleries.prepare(place, number, building, made.parts)
    versions.finish(place, number, building, candidate.describe(made, None))
    versions.prune(place, KEEP)
    return folder


def editions(answer: Any) -> bool:
    """Whether an answer is whole: every product of it is of the edition that its lineage says."""
    wanted = str(answer["lineage"]["catalog_version"])
    return all(one["attributes"]["edition"] == wanted for one in answer["results"])


def photos(workspace: Path, count: int) -> list[bytes]:
    """Return photos of a workspace as JPEG, as they came."""
    table = Table(workspace / "data/raw_images/photos.lance")
    found = table.opened().to_table(columns=["image"], filter="lost IS NULL", limit=4 * count)["image"].to_pylist()
    return [_jpeg(data) for data in found[::4]]


def _jpeg(data: bytes) -> bytes:
    if data[:2] == b"\xff\xd8":
        return bytes(data)
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("RGB").save(file, "JPEG", quality=90)
    return file.getvalue()


def _rows(names: list[str], category: list[str]) -> dict[str, Any]:
    keys = [hashlib.sha256(name.encode()).hexdigest()[:32] for name in names]
    # Keys in the order of the products, so that the first row of all is the known photo, whatever sorts them.
    keys = [f"{at:08x}{key[8:]}" for at, key in enumerate(keys)]
    same = {"split": "", "colour": "red", "gender": "", "side": "shop"}
    fixed = {name: [value] * len(names) for name, value in same.items()}
    return {"crop_id": keys, "photo_id": names, "product_id": names, "category": category, **fixed} | {
        "source": keys,
        "content": keys,
    }


if __name__ == "__main__":
    publish(Path(sys.argv[1]))
