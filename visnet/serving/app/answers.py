"""What the API answers, as its documentation and its client have it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

LINEAGE: dict[str, Any] = {
    "catalog_version": 3,
    "published": "2026-11-26T17:00:00+00:00",
    "model": "483755ec",
    "mlflow_run": None,
    "exact": True,
}
RESULT: dict[str, Any] = {
    "product_id": "bags/17",
    "photo_id": "9fc8a1b2c3d4e5f60718293a4b5c6d7e.0a1b2c3d",
    "photo_url": "/v1/photos/9fc8a1b2c3d4e5f60718293a4b5c6d7e.0a1b2c3d",
    "category": "bags",
    "colour": "red",
    "attributes": {"title": "Canvas tote", "price": "29.5"},
    "sq_distance": 0.31,
    "probability": 0.94,
    "exact": True,
}


def _shown_by(example: dict[str, Any]) -> ConfigDict:
    """Have the documentation show what an answer looks like."""
    return ConfigDict(frozen=True, json_schema_extra={"examples": [example]})


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Lineage(_Answer):
    """Where an answer is from: the published catalog, and the model that made its vectors."""

    catalog_version: int
    published: str
    model: Annotated[str, Field(description="the beginning of the digest of its weights")]
    mlflow_run: str | None = None
    exact: Annotated[bool, Field(description="whether no nearer product can have been left out")] = True


class Result(_Answer):
    """A product that answers, by its nearest photo."""

    model_config = _shown_by(RESULT)

    product_id: str
    photo_id: str
    photo_url: str
    category: str
    colour: str
    attributes: dict[str, str]
    sq_distance: Annotated[float, Field(description="of unit vectors, 0 to 4")]
    probability: Annotated[float | None, Field(description="that the photo shows this product, if the shop has it")]
    exact: bool = True


class ShownBox(_Answer):
    """A part of the photo, left, top, right, bottom in its pixels; the used one was searched for."""

    box: tuple[float, float, float, float]
    score: float | None = None
    kind: Literal["given", "proposed", "whole"]
    used: bool


class AskedPhoto(_Answer):
    """The photo that was asked with, upright."""

    width: int
    height: int
    url: Annotated[str | None, Field(description="null where queries are not kept")]


class Count(_Answer):
    """How many products have a value."""

    value: str
    count: int


class Bin(_Answer):
    """How many products have a number from `min` on and below `max`; in the last bin, up to it."""

    min: float
    max: float
    count: int


class Numbers(_Answer):
    """How far numbers reach, null where there are none, and how they are spread, in at most 10 bins of equal width."""

    min: float | None
    max: float | None
    histogram: list[Bin]


Facets = Annotated[
    dict[str, list[Count] | Numbers], Field(description="by column: the 100 most frequent texts, or how numbers spread")
]


class SearchAnswer(_Answer):
    """The products nearest to a photo: a page of them, and what all of them are."""

    model_config = _shown_by(
        {
            "query_id": "q_3f9c2b1d5e6f708192a3b4c5d6e7f809",
            "photo": {
                "width": 800,
                "height": 600,
                "url": "/v1/queries/q_3f9c2b1d5e6f708192a3b4c5d6e7f809/photo",
            },
            "boxes": [{"box": [12.0, 8.0, 540.0, 580.0], "score": 0.97, "kind": "proposed", "used": True}],
            "results": [RESULT],
            "total": 312,
            "offset": 0,
            "limit": 24,
            "facets": {
                "category": [{"value": "bags", "count": 211}],
                "colour": [{"value": "red", "count": 20}],
            },
            "lineage": LINEAGE,
        }
    )

    query_id: Annotated[str | None, Field(description="null where queries are not kept")]
    photo: AskedPhoto
    boxes: list[ShownBox]
    results: list[Result]
    total: Annotated[int, Field(description="products that can answer")]
    offset: int
    limit: int
    facets: Annotated[Facets, Field(description="over the best 2,048 answers")]
    lineage: Lineage

    def under(self, query_id: str | None) -> "SearchAnswer":
        """Return the same answer with the id under which its query was kept, None for none."""
        photo = self.photo.model_copy(update={"url": asked_photo_url(query_id)})
        return self.model_copy(update={"query_id": query_id, "photo": photo})


def asked_photo_url(query_id: str | None) -> str | None:
    """Return where the photo of a query is, None where it was not kept."""
    return None if query_id is None else f"/v1/queries/{query_id}/photo"


class ProductPhoto(_Answer):
    """A photo of a product."""

    photo_id: str
    url: str


class ProductAnswer(_Answer):
    """A product of the catalog."""

    product_id: str
    category: str
    colour: str
    attributes: dict[str, str]
    photos: list[ProductPhoto]
    lineage: Lineage


class SimilarAnswer(_Answer):
    """A page of the products most like one of the catalog: of its published list, or of all that a filter finds."""

    product_id: str
    results: list[Result]
    total: int
    offset: int
    limit: int
    facets: Annotated[Facets, Field(description="over all other products that the filter finds")]
    lineage: Lineage


class CompareAnswer(_Answer):
    """How far two things are from each other: photos first, then products, in the order in which they were given."""

    sq_distance: float
    probability: Annotated[
        float | None, Field(description="of a photo and a product, as a search would say; null of two of a kind")
    ]
    photos: Annotated[list[str | None], Field(description="the product's photo that was nearest; null of a photo")]
    lineage: Lineage


class CatalogColumn(_Answer):
    """A column that a filter may ask of, and what its products have in it."""

    model_config = _shown_by({"name": "price", "kind": "number", "distinct": None, "values": None, "min": 5, "max": 90})

    name: str
    kind: Literal["text", "number"]
    distinct: Annotated[int | None, Field(description="how many texts there are")] = None
    values: Annotated[list[Count] | None, Field(description="the 100 most frequent texts")] = None
    min: float | None = None
    max: float | None = None


class CatalogAnswer(_Answer):
    """What is served."""

    products: int
    photos: int
    categories: list[Count]
    columns: list[CatalogColumn]
    lineage: Lineage
    localizer: bool
    url_photos: Annotated[bool, Field(description="whether photos may be given by their address")] = False


class EventsAnswer(_Answer):
    """How many events came, and how many of them were new."""

    received: int
    new: Annotated[int, Field(description="the others were told before, and are kept once")]


class ChangeTold(_Answer):
    """What became of a change."""

    line: Annotated[int, Field(description="its place in what was sent, from 1")]
    product_id: str
    op: str
    state: Annotated[
        Literal["waiting", "visible", "dead"],
        Field(description="waiting for its photos; visible in every answer; dead, without effect"),
    ]
    reason: Annotated[str | None, Field(description="why it is dead")] = None
    visible_since: str | None = None
    catalog_version: Annotated[int | None, Field(description="the published version that took it in")] = None


class ChangesAnswer(_Answer):
    """The changes that were sent together, which `GET /v1/changes/{batch}` tells again."""

    model_config = _shown_by(
        {
            "batch": "b_3f9c2b1d5e6f7081",
            "changes": [
                {
                    "line": 1,
                    "product_id": "bags/17",
                    "op": "upsert",
                    "state": "waiting",
                    "reason": None,
                    "visible_since": None,
                    "catalog_version": None,
                }
            ],
        }
    )

    batch: str
    changes: list[ChangeTold]


class Problem(_Answer):
    """Why there is no answer (RFC 9457)."""

    model_config = _shown_by(
        {
            "type": "about:blank",
            "title": "Unsupported Media Type",
            "status": 415,
            "detail": "photo: not an image; JPEG, PNG, WebP, GIF, AVIF, BMP, TIFF and JPEG 2000 are read",
            "request_id": "6f1d0c2b3a495867",
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
