"""A search that keeps to what its photo shows: below the category path that the version's model tells of it."""

import asyncio
from collections.abc import Sequence

from visnet.categorizing.product_paths import PhotoPath, together
from visnet.serving.app.answers.search import InCategory
from visnet.serving.app.columns import Where
from visnet.serving.app.engine import Engine
from visnet.serving.app.filters import Below
from visnet.serving.app.problems import Refusal
from visnet.serving.app.queries import Query
from visnet.serving.app.uploads import Decoders, Wanted

OFF = "this version has no model of categories: set enabled = true in taxonomy_model.toml, then run `dvc repro`"
IN_CATEGORY = (
    "keep to products below the category path that the photo is told, as far as the model is sure of it; `in_category` "
    "of the answer says which, and the filter `below` keeps further pages to it"
)


def check_told(engine: Engine, grouped: bool) -> None:
    """Refuse what cannot be kept to a category: where the version has no model, or each box is another thing."""
    if grouped:
        raise Refusal(422, "in_category: with group_by=box each box is another thing; ask with one box at a time")
    if engine.teller is None:
        raise Refusal(409, OFF)


async def shown_category(engine: Engine, decoders: Decoders, query: Query, photos: Sequence[bytes]) -> InCategory:
    """Tell what the used boxes of a query show, together; its photos are given as they came, or as they are kept."""
    assert engine.teller is not None
    used = [box.box for box in query.boxes if box.used]
    made = await decoders.prepare(photos, engine, Wanted(used, width=query.width, to_tell=True), Wanted(to_tell=True))
    found = await asyncio.gather(*(engine.categorize(square) for one in made for square in one.squares))
    answers = [PhotoPath(one.path, one.level_probabilities) for one in found]
    path, probability = together(answers, engine.teller.sure)
    return InCategory(category=path, probability=probability if path else None, taxonomy=engine.teller.tree.version)


def kept_within(where: Where, told: InCategory | None) -> Where:
    """Narrow what may answer to what was told; to nothing further where the model is unsure of the first level."""
    if told is None or not told.category:
        return where
    return Where(where.category, (*where.filters, Below(column="category", below=told.category)))
