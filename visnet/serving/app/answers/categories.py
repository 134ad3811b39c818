"""What photos show, down the taxonomy."""

from typing import Annotated, Any

from pydantic import Field

from visnet.serving.app.answers.reply import LINEAGE, Lineage, Reply, shown_by

LEVEL: dict[str, Any] = {"name": "Jackets", "probability": 0.62}
TOLD: dict[str, Any] = {
    "category": "Women/Western Wear",
    "levels": [{"name": "Women", "probability": 0.99}, {"name": "Western Wear", "probability": 0.94}, LEVEL],
    "told": 2,
}


class CategoryLevel(Reply):
    """A level of a path."""

    model_config = shown_by(LEVEL)

    name: str
    probability: Annotated[float, Field(description="how probable it is that the photo shows this, calibrated")]


class PhotoCategory(Reply):
    """What a photo shows."""

    model_config = shown_by(TOLD)

    category: Annotated[str, Field(description="the path as far as the model is sure; empty where it is of nothing")]
    levels: Annotated[list[CategoryLevel], Field(description="the likeliest path, to its end")]
    told: Annotated[int, Field(description="of how many of the levels the model is sure")]


class CategorizeAnswer(Reply):
    """What photos show, in the order in which they came."""

    model_config = shown_by({"photos": [TOLD], "taxonomy": "4b1f0c2d9e7a", "lineage": LINEAGE})

    photos: list[PhotoCategory]
    taxonomy: Annotated[str, Field(description="the version of the taxonomy that the paths are of")]
    lineage: Lineage
