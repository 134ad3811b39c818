"""What shows the same picture."""

from typing import Annotated, Any

from pydantic import Field

from visnet.serving.app.answers.reply import LINEAGE, Lineage, Reply, shown_by

COPY: dict[str, Any] = {
    "product_id": "bags/18",
    "photo_id": "1f0e8b7c2d3a4e5f60718293a4b5c6d7.9e8f7a6b",
    "photo_url": "/v1/photos/1f0e8b7c2d3a4e5f60718293a4b5c6d7.9e8f7a6b",
    "category": "bags",
    "relation": "mirrored",
    "score": 0.98,
    "found_by": "hash",
    "of": None,
}


class Copy(Reply):
    """A product that shows the same picture, by the photo for which that is surest."""

    model_config = shown_by(COPY)

    product_id: str
    photo_id: str
    photo_url: str
    category: str
    relation: Annotated[
        str, Field(description="how one was made of the other: same, mirrored, upside down, turned, part or overlaid")
    ]
    score: Annotated[float, Field(description="how probable it is that both show one picture, in one colour")]
    found_by: Annotated[str, Field(description="hash, vector, both, or none of them: one of the nearest products")]
    of: Annotated[str | None, Field(description="which photo of the asked product it is; null for a photo")]


class DuplicatesAnswer(Reply):
    """The products that show the same picture as a photo or a product, surest first."""

    model_config = shown_by({"duplicates": [COPY], "compared": 9, "lineage": LINEAGE})

    duplicates: list[Copy]
    compared: Annotated[int, Field(description="pairs of photos that were laid on each other")]
    lineage: Lineage
