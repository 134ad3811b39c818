"""The products nearest to a photo."""

from typing import Annotated, Any, Literal

from pydantic import Field

from visnet.serving.app.answers.counts import Facets
from visnet.serving.app.answers.reply import LINEAGE, Lineage, Reply, shown_by

RESULT: dict[str, Any] = {
    "product_id": "bags/17",
    "photo_id": "9fc8a1b2c3d4e5f60718293a4b5c6d7e.0a1b2c3d",
    "photo_url": "/v1/photos/9fc8a1b2c3d4e5f60718293a4b5c6d7e.0a1b2c3d",
    "category": "bags",
    "category_told": False,
    "colour": "red",
    "attributes": {"title": "Canvas tote", "price": "29.5"},
    "sq_distance": 0.31,
    "probability": 0.94,
    "exact": True,
    "also": ["bags/18"],
}


IN_CATALOG = (
    "how probable it is that the shop, or what of it may answer, has what the photo shows; "
    "a result's own probability is for where it has; null where no calibration tells, or nothing answers"
)
InCatalog = Annotated[float | None, Field(description=IN_CATALOG)]
CATEGORY_TOLD = "whether the record says no category, and this is what the product's photos tell"


class Result(Reply):
    """A product that answers, by its nearest photo."""

    model_config = shown_by(RESULT)

    product_id: str
    photo_id: str
    photo_url: str
    category: str
    category_told: Annotated[bool, Field(description=CATEGORY_TOLD)] = False
    colour: str
    attributes: dict[str, str]
    sq_distance: Annotated[float, Field(description="of unit vectors, 0 to 4")]
    probability: Annotated[float | None, Field(description="that the photo shows this product, if the shop has it")]
    exact: bool = True
    also: Annotated[
        list[str],
        Field(default_factory=list, description="with collapse=duplicates: its other listings that could answer here"),
    ]


class InCategory(Reply):
    """The category that a search was kept to: the path that its photo was told, as far as the model is sure."""

    model_config = shown_by({"category": "Women/Bags", "probability": 0.91, "taxonomy": "4b1f0c2d9e7a"})

    category: Annotated[str, Field(description="empty where the model is unsure of the first level: nothing was kept")]
    probability: Annotated[float | None, Field(description="of its last level; null where it is empty")]
    taxonomy: Annotated[str, Field(description="the version of the taxonomy that the path is of")]


class ShownBox(Reply):
    """A part of the photo, left, top, right, bottom in its pixels; what is used was searched for."""

    box: tuple[float, float, float, float]
    score: float | None = None
    kind: Literal["given", "proposed", "whole"]
    used: bool


class AskedPhoto(Reply):
    """The photo that was asked with, upright."""

    width: int
    height: int
    url: Annotated[str | None, Field(description="null where queries are not kept")]


class Group(Reply):
    """The products nearest to a part of the photo: what a search with that box alone answers."""

    model_config = shown_by(
        {
            "query_id": "q_3f9c2b1d5e6f708192a3b4c5d6e7f809-1",
            "box": [12.0, 8.0, 540.0, 580.0],
            "results": [RESULT],
            "total": 312,
            "in_catalog": 0.87,
            "facets": {"category": [{"value": "bags", "count": 211}]},
        }
    )

    query_id: Annotated[str | None, Field(description="of that search: its link, further pages of it, and events")]
    box: tuple[float, float, float, float]
    results: list[Result]
    total: int
    in_catalog: InCatalog = None
    facets: Facets


class SearchAnswer(Reply):
    """The products nearest to a photo: a page of them, and what all of them are.

    Grouped by box, `groups` has a page for each used box, in their order, and all others are of the first of them.
    """

    model_config = shown_by(
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
            "in_catalog": 0.87,
            "offset": 0,
            "limit": 24,
            "facets": {
                "category": [{"value": "bags", "count": 211}],
                "colour": [{"value": "red", "count": 20}],
            },
            "groups": None,
            "in_category": None,
            "lineage": LINEAGE,
        }
    )

    query_id: Annotated[str | None, Field(description="null where queries are not kept")]
    photo: AskedPhoto
    boxes: list[ShownBox]
    results: list[Result]
    total: Annotated[int, Field(description="products that can answer")]
    in_catalog: InCatalog = None
    offset: int
    limit: int
    facets: Annotated[Facets, Field(description="over the best 2,048 answers")]
    groups: Annotated[list[Group] | None, Field(description="with group_by=box; else null")] = None
    in_category: Annotated[InCategory | None, Field(description="with in_category=true; else null")] = None
    lineage: Lineage


def asked_photo_url(query_id: str | None) -> str | None:
    """Return where the photo of a query is, None where it was not kept."""
    return None if query_id is None else f"/v1/queries/{query_id}/photo"
