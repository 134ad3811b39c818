"""Answer one photo from the catalog: from the version that is served, or from the line where none is yet."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from visnet.categorizing.files import TOLD_CATEGORIES
from visnet.errors import NotFound, NotReady
from visnet.localizing.files import is_trained
from visnet.localizing.localizer import Localizer
from visnet.photos import codec
from visnet.photos.cutting import Box
from visnet.pipeline.reports import DATA
from visnet.serving import catalog, galleries, versions
from visnet.serving.ranking import Hit
from visnet.serving.searcher import Searcher
from visnet.serving.shop_gallery import ShopGallery
from visnet.serving.told_categories import told_categories
from visnet.sheets import contact_sheet
from visnet.storage.table import Table


def answer(photo: Path, k: int, category: str | None, box: Box | None, out: Path, whole: bool = False) -> str:
    """Return a table of the k nearest products, and write their contact sheet to `out`.

    Without a box, the catalog's localizer proposes one, where it has one, unless the `whole` photo is asked for.
    `ValueError` when the photo, the catalog or the category is not there, or the photo is no image.
    """
    if not photo.is_file():
        raise NotFound(f"{photo}: {'is a folder; name a photo in it' if photo.is_dir() else 'no such photo'}")
    contact_sheet.check_name("--out", out)
    try:
        picture = codec.decode(photo.read_bytes())
        note: list[str] = []
        if box is not None:
            picture = codec.crop(picture, box)
    except ValueError as error:
        raise ValueError(f"{photo}: {error}") from None
    with _opened() as place:
        cut = box
        if place.localizer is not None and box is None and not whole:
            cut, note = _proposed(place.localizer, picture)
            picture = codec.crop(picture, cut)
        searcher = Searcher(place.trained_model, place.shop, place.calibration)
        (ranking,) = searcher.rank(searcher.embed([picture]), k, category, uncropped=cut is None)
        hits = searcher.hits(ranking)
        products = searcher.products(category)
        _draw(place.crops, hits, photo.name, picture, products, out)
    lines = [*_table(hits), *[f"    ({k} were asked for; there are {products} products)"] * (len(hits) < k)]
    lines += _in_catalog(ranking.in_catalog, category)
    behind = versions.behind()
    return "\n".join([*lines, *note, f"Pictures: {out}", *[f"Note       {behind}"] * bool(behind)])


def _proposed(localizer: Path, picture: Image.Image) -> tuple[Box | None, list[str]]:
    """Return the box that a localizer proposes, None where it is unsure, and a line about it."""
    (found,) = Localizer.load(localizer).propose([picture])
    if not found:
        return None, ["Box        the localizer is unsure: the whole photo was searched for"]
    boxes = [(" ".join(f"{side:.0f}" for side in one.box), f"(score {one.score:.2f})") for one in found]
    lines = [f"Box        {' '.join(boxes[0])}, proposed; --whole searches for the whole photo"]
    lines += [f"           --box {sides} {score} would be another" for sides, score in boxes[1:]]
    return found[0].box, lines


@dataclass(frozen=True)
class _Place:
    """Where the answers are: folders of the model and its calibration, the shop's photos, and the crops.

    localizer: its folder, None where there is none.
    """

    trained_model: Path
    shop: ShopGallery
    calibration: Path
    crops: Path
    localizer: Path | None


@contextlib.contextmanager
def _opened() -> Iterator[_Place]:
    """Hold the version that is served; where none is, the line's own artefacts answer."""
    if catalog.is_published():
        with catalog.open_current() as version:
            shop = galleries.of_version(version)
            yield _Place(version.trained_model, shop, version.folder, version.crops, version.localizer)
        return
    for stage in ("crops", "trained_model", "catalog_embeddings"):
        if not (DATA / stage).exists():
            raise NotReady(f"{DATA / stage} is missing: build the catalog first, with `dvc repro` (or `dvc pull`)")
    model, embeddings, evaluation = (DATA / name for name in ("trained_model", "catalog_embeddings", "evaluation"))
    localizer = DATA / "localizer"
    finds = localizer if is_trained(localizer) else None
    told = DATA / "category_paths" / TOLD_CATEGORIES
    shop = ShopGallery.read(embeddings, told_categories(told if Table(told).exists() else None))
    yield _Place(model, shop, evaluation, DATA / "crops" / "crops.lance", finds)


def _draw(crops: Path, hits: Sequence[Hit], name: str, picture: Image.Image, products: int, out: Path) -> None:
    pictures = contact_sheet.open_images(crops, [hit.crop_id for hit in hits])
    shown = [contact_sheet.Thumbnail(picture, name)]
    shown += [contact_sheet.Thumbnail(pictures[hit.crop_id], f"{hit.product_id} {hit.sq_distance:.3f}") for hit in hits]
    contact_sheet.sheet([shown], f"{name}: the {len(hits)} most similar of {products} products").save(out)


def _table(hits: Sequence[Hit]) -> list[str]:
    lines = [f"{'':>3} {'product':<28} {'category':<14} {'colour':<10} {'sq_distance':>11} {'probability':>11}"]
    for rank, hit in enumerate(hits, 1):
        named = f"{rank:>3} {hit.product_id:<28} {hit.category:<14} {hit.colour:<10}"
        lines.append(f"{named} {hit.sq_distance:>11.4f} {_percent(hit):>11}")
    return lines


def _in_catalog(known: float | None, category: str | None) -> list[str]:
    """Return a line that says how probable it is that the photo's product is there at all, none where nothing tells."""
    if known is None:
        return []
    where = "the catalog" if category is None else category
    said = f"how probable it is that {where} has what the photo shows; those above are for where it has"
    return [f"In catalog {known:.1%}: {said}"]


def _percent(hit: Hit) -> str:
    """Return how probable it is that a hit is the photo's product, "-" where that is not known."""
    return "-" if hit.probability is None else f"{hit.probability:.1%}"
