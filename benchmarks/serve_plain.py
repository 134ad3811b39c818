"""The service that an engineer writes in an afternoon: FastAPI, Pillow, torch, a flat FAISS index, facts in SQLite.

    python benchmarks/serve_plain.py WORKSPACE PORT

It has the model and the photos' vectors of the version that WORKSPACE serves, and answers with 12 products: to
`POST /search` (a file `photo`), and to `GET /products/ID/similar`. Endpoints are plain functions, which FastAPI runs in
its threads. It checks nothing, batches nothing, keeps nothing, and does not notice a newer version.
"""

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, HTTPException, UploadFile
from PIL import Image

from visnet.embedding.crop_dataset import square
from visnet.embedding.model_id import precision_of
from visnet.models.inputs import as_floats
from visnet.serving import catalog
from visnet.zoo import weights

ANSWERS = 12


def application(workspace: Path) -> FastAPI:
    """Read the version that is served, and return what answers from it."""
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    with catalog.open_current(workspace / "data") as version:
        model, entry = weights.load(version.trained_model)
        vectors = version.vectors().of(side="shop")
    model.eval()
    half = precision_of(vectors.model) == "bf16"
    products = vectors.rows["product_id"].tolist()
    index = faiss.IndexFlatL2(vectors.matrix.shape[1])
    index.add(vectors.matrix.numpy())
    facts = sqlite3.connect(":memory:", check_same_thread=False)
    facts.execute("CREATE TABLE products (product_id TEXT PRIMARY KEY, facts TEXT)")
    rows = vectors.rows.drop_duplicates("product_id")
    said = zip(rows["product_id"], rows[["product_id", "category", "colour"]].to_dict("records"), strict=True)
    facts.executemany("INSERT INTO products VALUES (?, ?)", [(name, json.dumps(row)) for name, row in said])
    row_of = {name: at for at, name in reversed(list(enumerate(products)))}
    app = FastAPI()

    def found(vector: np.ndarray, but: str = "") -> dict[str, Any]:
        distances, at = index.search(vector.reshape(1, -1), 10 * ANSWERS)
        results: dict[str, dict[str, Any]] = {}
        for distance, row in zip(distances[0], at[0], strict=True):
            name = products[row] if row >= 0 else but
            if name != but and name not in results and len(results) < ANSWERS:
                (text,) = facts.execute("SELECT facts FROM products WHERE product_id = ?", (name,)).fetchone()
                results[name] = json.loads(text) | {"sq_distance": float(distance)}
        return {"results": list(results.values())}

    @app.get("/ready")
    def ready() -> dict[str, int]:
        return {"products": len(row_of)}

    @app.post("/search")
    def search(photo: UploadFile) -> dict[str, Any]:
        picture = square(Image.open(photo.file).convert("RGB"), entry.side_px)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            vector = model(as_floats(picture[None], channels_last=True))[0]
        return found(vector.float().numpy())

    @app.get("/products/{product_id:path}/similar")
    def similar(product_id: str) -> dict[str, Any]:
        if product_id not in row_of:
            raise HTTPException(404)
        return found(vectors.matrix[row_of[product_id]].numpy(), but=product_id)

    return app


if __name__ == "__main__":
    uvicorn.run(application(Path(sys.argv[1])), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
