"""Answer one photo from the catalog: from the version that is served, or from the line where none is yet."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from visnet.embedding import embed
from visnet.embedding.crop_dataset import square
from visnet.embedding.model_id import model_id, precision_of
from visnet.embedding.vectors import read_vectors
from visnet.photos import codec
from visnet.pipeline.reports import DATA
from visnet.search.products import nearest_products
from visnet.serving import catalog, versions
from visnet.sheets import contact_sheet
from visnet.zoo import weights


def answer(photo: Path, k: int, category: str | None, box: Sequence[float] | None, out: Path) -> str:
    """Return a table of the k nearest products, and write their contact sheet to `out`.

    `ValueError` when the photo, the catalog or the category is not there, or the photo is no image.
    """
    if not photo.is_file():
        raise ValueError(f"{photo}: {'is a folder; name a photo in it' if photo.is_dir() else 'no such photo'}")
    contact_sheet.check_name("--out", out)
    if k < 1:
        raise ValueError(f"-k {k}: at least 1 product must be asked for")
    try:
        whole = codec.decode(photo.read_bytes())
        picture = codec.crop(whole, None if box is None else (box[0], box[1], box[2], box[3]))
    except ValueError as error:
        raise ValueError(f"{photo}: {error}") from None
    with catalog.open_current() if catalog.is_published() else contextlib.nullcontext() as version:
        place = _line() if version is None else Place(version.trained_model, version.folder, version.crops)
        found = _nearest(place, picture, k, category)
        _draw(place, found, photo.name, picture, out)
    behind = versions.behind()
    said = f"{_table(found, k)}\nPictures: {out}"
    return f"{said}\nNote       {behind}" if behind else said


@dataclass(frozen=True)
class Place:
    """Where the answers are: the model's folder, that of its embeddings, and the table of crops."""

    trained_model: Path
    embeddings: Path
    crops: Path


@dataclass(frozen=True)
class Found:
    """The nearest products, a row each with the columns of the embeddings and sq_distance, of so many."""

    answers: pd.DataFrame
    products: int


def _line() -> Place:
    for stage in ("crops", "trained_model", "catalog_embeddings"):
        if not (DATA / stage).exists():
            raise ValueError(f"{DATA / stage} is missing: build the catalog first, with `dvc repro` (or `dvc pull`)")
    return Place(DATA / "trained_model", DATA / "catalog_embeddings", DATA / "crops" / "crops.lance")


def _nearest(place: Place, picture: Image.Image, k: int, category: str | None) -> Found:
    model, entry = weights.load(place.trained_model)
    shop = read_vectors(place.embeddings).of(side="shop")
    precision = precision_of(shop.model)
    if shop.model != model_id(weights.digest(model.state_dict()), precision):
        raise ValueError(f"{place.embeddings} is by another model than {place.trained_model}; run `dvc repro` first")
    if category is not None:
        allowed = sorted(set(shop.rows["category"]))
        if category not in allowed:
            raise ValueError(f"--category {category!r} is not in the catalog; allowed are {', '.join(allowed)}")
        shop = shop.of(category=category)
    asked = square(picture, entry.side_px)
    ((_, vector),) = embed.embed(model, [asked], batch=1, precision=precision)  # type: ignore[arg-type]
    product, names = pd.factorize(shop.rows["product_id"])
    found = nearest_products(vector, shop.matrix, product, k)
    rows = found.row[0][found.row[0] >= 0]
    return Found(shop.rows.iloc[rows].assign(sq_distance=found.sq_distance[0][: len(rows)]), len(names))


def _draw(place: Place, found: Found, name: str, picture: Image.Image, out: Path) -> None:
    pictures = contact_sheet.open_images(place.crops, found.answers["crop_id"].tolist())
    tiles = [contact_sheet.Thumbnail(picture, name)]
    tiles += [
        contact_sheet.Thumbnail(pictures[row.crop_id], f"{row.product_id} {row.sq_distance:.3f}")
        for row in found.answers.itertuples()
    ]
    title = f"{name}: the {len(found.answers)} most similar of {found.products} products"
    contact_sheet.sheet([tiles], title).save(out)


def _table(found: Found, k: int) -> str:
    lines = [f"{'':>3} {'product':<28} {'category':<14} {'colour':<10} {'sq_distance':>11}"]
    for place, row in enumerate(found.answers.itertuples(), 1):
        lines.append(f"{place:>3} {row.product_id:<28} {row.category:<14} {row.colour:<10} {row.sq_distance:>11.4f}")
    if len(found.answers) < k:
        lines.append(f"    ({k} were asked for; there are {found.products} products)")
    return "\n".join(lines)
