"""From a query to its answer: the products ranked, and told page by page."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic.json_schema import SkipJsonSchema

from visnet.serving.app.answers.search import (
    AskedPhoto,
    Group,
    InCategory,
    Result,
    SearchAnswer,
    ShownBox,
    asked_photo_url,
)
from visnet.serving.app.columns import Where
from visnet.serving.app.engine import Engine
from visnet.serving.app.facets import AskedFacet, asked, column_of
from visnet.serving.app.filters import Filter, parsed
from visnet.serving.app.in_category import kept_within
from visnet.serving.app.problems import Refusal
from visnet.serving.app.queries import Query, part_id
from visnet.serving.app.steps import DEPTH, Question
from visnet.serving.app.within import Grouped
from visnet.serving.ranking import Ranking

NO_TEXT = SkipJsonSchema[None]  # a form or an address has no null: what is left out is not there
COLLAPSE = "of the products of a confirmed double listing, only the nearest answers; it names the others in `also`"
APART = Grouped({})  # of an answer that collapses nothing
SIZES = (32, 256)  # of a ranking that nothing is counted over


@dataclass(frozen=True, kw_only=True)
class Narrowed:
    """Which of the answers are wanted, and of which columns their values are counted."""

    limit: int
    offset: int
    filter: Filter | None
    facets: tuple[AskedFacet, ...]
    category: str | None = None
    min_probability: float | None = None
    collapse: Literal["duplicates"] | None = None

    @classmethod
    def of(cls, *, filter: str | None, facets: str | None, category: str | None = None, **others: Any) -> "Narrowed":
        """Read what a request says; refused where its filter is none."""
        read = parsed(filter)
        return cls(filter=read, facets=asked(facets, read), category=category or None, **others)

    @property
    def deep(self) -> int:
        """How many products are to be ranked: few sizes, so that searches of one batch are of one."""
        if self.facets or self.min_probability is not None:
            return DEPTH
        return next((size for size in SIZES if size >= self.offset + self.limit), DEPTH)

    def within(self, engine: Engine) -> Where:
        """Say what may answer; refuse what lies beyond the answers that are ranked, or needs what the version lacks."""
        if self.offset + self.limit > DEPTH:
            raise Refusal(422, f"offset + limit is {self.offset + self.limit}; allowed is {DEPTH:,} at most")
        if self.min_probability is not None and not engine.calibrated:
            raise Refusal(422, "min_probability: this version has no calibration, so no answer has a probability")
        for facet in self.facets:
            column_of(engine.columns, facet)
        return engine.columns.where(self.category, self.filter)


async def answered(
    engine: Engine, query: Query, query_id: str | None, wanted: Narrowed, kept_to: InCategory | None = None
) -> SearchAnswer:
    """Rank the products for a query, and tell a page of them; of each of its boxes, if it is grouped.

    kept_to: the category that its photo shows, to which the answers are kept.
    """
    where = kept_within(wanted.within(engine), kept_to)
    collapse, uncropped = wanted.collapse is not None, query.uncropped
    asked = [Question(one, where, -1, wanted.deep, collapse, uncropped) for one in query.vectors]
    rankings = await engine.rank(*asked)
    pages = [_told(engine, ranking, where, wanted) for ranking in rankings]
    used = [box.box for box in query.boxes if box.used]
    groups = [
        Group(query_id=part_id(query_id, at), box=box, **page)
        for at, (box, page) in enumerate(zip(used, pages, strict=False), 1)
    ]
    return SearchAnswer(
        query_id=query_id,
        photo=AskedPhoto(width=query.width, height=query.height, url=asked_photo_url(query_id)),
        boxes=[ShownBox.model_validate(vars(box)) for box in query.boxes],
        offset=wanted.offset,
        limit=wanted.limit,
        groups=groups if query.grouped else None,
        in_category=kept_to,
        lineage=engine.lineage,
        **pages[0],
    )


def _told(engine: Engine, ranking: Ranking, where: Where, wanted: Narrowed) -> dict[str, Any]:
    """Return a page's results, how many products can answer, what they have in columns, and if the photo's is there."""
    in_catalog = ranking.in_catalog
    grouped = engine.current.grouped(where) if wanted.collapse else APART
    total = engine.current.within(where).products - grouped.surplus
    if wanted.min_probability is not None and ranking.probability is not None:
        likely = ranking.probability >= wanted.min_probability
        ranking = Ranking(ranking.row[likely], ranking.sq_distance[likely], ranking.probability[likely])
        total = len(ranking.row)
    facets = engine.current.counted(wanted.facets, ranking)
    results = page(engine, ranking, wanted, grouped)
    return {"results": results, "total": total, "facets": facets, "in_catalog": in_catalog}


def page(engine: Engine, ranking: Ranking, wanted: Narrowed, grouped: Grouped) -> list[Result]:
    """Return what is told of the products that answer, a page of them, each with the others of its group."""
    start, stop = wanted.offset, wanted.offset + wanted.limit
    told, rows = [], ranking.row[start:stop].tolist()
    hits, attributes = engine.current.hits(ranking, start, stop), engine.current.attributes(rows)
    for row, hit, said in zip(rows, hits, attributes, strict=True):
        photo_id = engine.current.photo_id(row)
        one = Result(
            product_id=hit.product_id,
            photo_id=photo_id,
            photo_url=photo_url(photo_id),
            category=hit.category,
            category_told=engine.current.told(row) is not None,
            colour=hit.colour,
            attributes=said,
            sq_distance=hit.sq_distance,
            probability=hit.probability,
            also=grouped.others(hit.product_id),
        )
        told.append(one)
    return told


def photo_url(photo_id: str) -> str:
    """Return where a photo of the catalog is."""
    return f"/v1/photos/{photo_id}"
