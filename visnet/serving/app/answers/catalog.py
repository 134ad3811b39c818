"""What is in the catalog."""

from typing import Annotated, Literal

from pydantic import Field

from visnet.serving.app.answers.counts import Count, Facets
from visnet.serving.app.answers.reply import LINEAGE, Lineage, Reply, shown_by
from visnet.serving.app.answers.search import CATEGORY_TOLD, Result

QUALITY = {"verdict": "bad", "fault": "watermarked", "score": 0.981}
ID = "9fc8a1b2c3d4e5f60718293a4b5c6d7e.0a1b2c3d"
PHOTO = {"photo_id": ID, "url": f"/v1/photos/{ID}", "quality": QUALITY}


class PhotoQuality(Reply):
    """Whether a photo misleads a search, as the stage photo_quality found or a person decided."""

    model_config = shown_by(QUALITY)

    verdict: Literal["good", "unsure", "bad"]
    fault: Annotated[str | None, Field(description="what is wrong with it; null of a good photo")]
    score: Annotated[
        float, Field(description="how probable that fault is, in 0..1; of a good photo the highest of all faults")
    ]


class ProductPhoto(Reply):
    """A photo of a product."""

    model_config = shown_by(PHOTO)

    photo_id: str
    url: str
    quality: Annotated[PhotoQuality | None, Field(description="null where nothing is known")] = None


class ProductAnswer(Reply):
    """A product of the catalog."""

    model_config = shown_by(
        {
            "product_id": "bags/17",
            "category": "Women/Bags",
            "category_told": True,
            "category_probability": 0.91,
            "colour": "red",
            "attributes": {"title": "Canvas tote", "price": "29.5"},
            "photos": [PHOTO],
            "lineage": LINEAGE,
        }
    )

    product_id: str
    category: str
    category_told: Annotated[bool, Field(description=CATEGORY_TOLD)] = False
    category_probability: Annotated[
        float | None, Field(description="how probable its last level is, if it is told; else null")
    ] = None
    colour: str
    attributes: dict[str, str]
    photos: list[ProductPhoto]
    lineage: Lineage


class SimilarAnswer(Reply):
    """A page of the products most like one of the catalog: of its published list, or of all that a filter finds."""

    product_id: str
    results: list[Result]
    total: int
    offset: int
    limit: int
    facets: Annotated[Facets, Field(description="over all other products that the filter finds")]
    lineage: Lineage


class CompareAnswer(Reply):
    """How far two things are from each other: photos first, then products, in the order in which they were given."""

    sq_distance: float
    probability: Annotated[
        float | None, Field(description="of a photo and a product, as a search would say; null of two of a kind")
    ]
    photos: Annotated[list[str | None], Field(description="the product's photo that was nearest; null of a photo")]
    lineage: Lineage


class CatalogColumn(Reply):
    """A column that a filter may ask of, and what its products have in it."""

    model_config = shown_by({"name": "price", "kind": "number", "distinct": None, "values": None, "min": 5, "max": 90})

    name: str
    kind: Literal["text", "number"]
    distinct: Annotated[int | None, Field(description="how many texts there are")] = None
    values: Annotated[list[Count] | None, Field(description="the 100 most frequent texts")] = None
    min: float | None = None
    max: float | None = None


class CatalogAnswer(Reply):
    """What is served."""

    products: int
    photos: int
    categories: list[Count]
    columns: list[CatalogColumn]
    lineage: Lineage
    localizer: bool
    taxonomy: Annotated[str | None, Field(description="its version, where a model tells categories; else null")] = None
    url_photos: Annotated[bool, Field(description="whether photos may be given by their address")] = False
