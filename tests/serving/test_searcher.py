"""A searcher answers from one version, exactly, whatever happens to the folders afterwards."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.refreshing import put_model
from visnet.embedding.vectors import Vectors, read_vectors
from visnet.errors import NotFound, NotReady
from visnet.photos import codec
from visnet.serving import catalog
from visnet.serving.searcher import Searcher
from visnet.serving.shop_gallery import ShopGallery
from visnet.storage.table import Table


@pytest.fixture
def searcher(shop: Path) -> Searcher:
    """The served version, held in memory; its folders are gone."""
    with catalog.open_current(shop / "data") as version:
        searcher = Searcher(version.trained_model, ShopGallery.read(version.folder))
    shutil.rmtree(shop / "data/publish")
    return searcher


def by_a_plain_loop(shop: Vectors, vector: torch.Tensor, category: str | None) -> list[tuple[float, str]]:
    """Return (sq_distance, product) of all products by their nearest photo, nearest first."""
    best: dict[str, float] = {}
    for row, other in zip(shop.rows.to_dict("records"), shop.matrix.double(), strict=True):
        if category in (None, row["category"]):
            sq_distance = float((vector.double() - other).square().sum())
            best[row["product_id"]] = min(sq_distance, best.get(row["product_id"], 9.0))
    return sorted((sq_distance, product) for product, sq_distance in best.items())


@pytest.mark.parametrize("category", [None, "bag", "hat"])
def test_the_hits_are_those_of_a_plain_loop_over_all_photos(
    searcher: Searcher, published: Path, category: str | None
) -> None:
    shop = read_vectors(published / "data/catalog_embeddings").of(side="shop")
    vectors = shop.matrix[[0, 5, 11]]
    for vector, hits in zip(vectors, searcher.search(vectors, 6, category), strict=True):
        wanted = by_a_plain_loop(shop, vector, category)
        assert [hit.sq_distance for hit in hits] == pytest.approx([sq for sq, _ in wanted[: len(hits)]], abs=1e-6)
        assert len(hits) == min(6, searcher.products(category)) == min(6, len(wanted))
        rows = shop.rows.set_index("crop_id").loc[[hit.crop_id for hit in hits]]
        assert rows["product_id"].tolist() == [hit.product_id for hit in hits]
        assert {hit.category for hit in hits} <= {category or hit.category for hit in hits}
        assert len({hit.product_id for hit in hits}) == len(hits), "a product answers once"


def test_a_photo_of_the_catalog_finds_itself_at_no_distance(searcher: Searcher, published: Path) -> None:
    rows = Table(published / "data/crops/crops.lance").read(["crop_id", "image"], "side = 'shop'").to_pylist()[:3]
    photos = [codec.decode(row["image"]) for row in rows]
    together = searcher.embed(photos)
    assert len(together) == 3
    assert torch.equal(together, torch.cat([searcher.embed([photo]) for photo in photos])), "alone as in company"
    for hits in searcher.search(together, 1):
        assert hits[0].sq_distance < 1e-4


def test_what_cannot_be_answered_says_what_is_allowed(searcher: Searcher) -> None:
    vectors = searcher.embed([Image.new("RGB", (8, 8))])
    with pytest.raises(NotFound, match=r"category 'shoe' is not in the catalog; there are bag, hat$"):
        searcher.search(vectors, 1, "shoe")
    with pytest.raises(ValueError, match="k 0: at least 1"):
        searcher.search(vectors, 0)
    assert searcher.categories == ["bag", "hat"]


def test_a_model_and_the_vectors_of_another_do_not_answer_together(shop: Path) -> None:
    put_model(shop, seed=2)
    with pytest.raises(NotReady, match="are by another model than"):
        Searcher(shop / "data/trained_model", ShopGallery.read(shop / "data/catalog_embeddings"))
