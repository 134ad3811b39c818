"""From what was asked to its answer: a query made of photos or found again, ranked, and told page by page."""

import dataclasses
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from visnet.serving.app.answers.catalog import SimilarAnswer
from visnet.serving.app.answers.counts import Count, Numbers
from visnet.serving.app.answers.search import AskedPhoto, Result, SearchAnswer, ShownBox, asked_photo_url
from visnet.serving.app.columns import Where
from visnet.serving.app.engine import DEPTH, Engine
from visnet.serving.app.facets import asked
from visnet.serving.app.filters import Filter, parsed
from visnet.serving.app.problems import Refusal, log
from visnet.serving.app.queries import Query, QueryStore
from visnet.serving.app.uploads import Decoders, Prepared, Wanted
from visnet.serving.searcher import Ranking

SIZES = (32, 256)  # of a ranking that nothing is counted over


@dataclass(frozen=True, kw_only=True)
class Narrowed:
    """Which of the answers are wanted, and of which columns their values are counted."""

    limit: int
    offset: int
    filter: Filter | None
    facets: tuple[str, ...]
    category: str | None = None
    min_probability: float | None = None

    @classmethod
    def of(cls, *, filter: str | None, facets: str | None, category: str | None = None, **others: Any) -> "Narrowed":
        """Read what a request says; refused where its filter is none."""
        return cls(filter=parsed(filter), facets=asked(facets), category=category or None, **others)

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
        for name in self.facets:
            engine.columns.column(name, "facets")
        return engine.columns.where(self.category, self.filter)


class Searches:
    """Makes queries of photos, keeps them, and finds them again."""

    def __init__(self, decoders: Decoders, queries: QueryStore | None) -> None:
        """Take None for `queries` to keep none."""
        self._decoders, self._queries = decoders, queries

    async def make(self, engine: Engine, photos: Sequence[bytes], box: str | None = None) -> Query:
        """Embed photos of one thing; a box is of the first."""
        keep = self._queries is not None
        made = await self._decoders.prepare(photos, engine, Wanted(box, keep), Wanted(None, keep))
        return await self._embedded(engine, made, [one.jpeg or b"" for one in made])

    async def find(self, engine: Engine, query_id: str) -> Query:
        """Return an earlier query; its photos are embedded anew where that was by another model."""
        query = await self.kept(query_id)
        if query.model == engine.model:
            return query
        used = next((box.box for box in query.boxes if box.used and box.kind == "given"), None)
        first, others = Wanted(used, width=query.width), Wanted()
        made = await self._decoders.prepare(query.photos, engine, first, others)
        return await self._embedded(engine, made, query.photos)

    async def boxed(self, engine: Engine, query_id: str, box: str) -> Query:
        """Return a query of the photos of an earlier one, with another box of the first."""
        query = await self.kept(query_id)
        first, others = Wanted(box, width=query.width), Wanted()
        made = await self._decoders.prepare(query.photos, engine, first, others)
        new = await self._embedded(engine, made, query.photos)
        earlier = [dataclasses.replace(one, used=False) for one in query.boxes if one.kind != "given"]
        return dataclasses.replace(new, boxes=[new.boxes[0], *earlier])

    async def kept(self, query_id: str) -> Query:
        """Return what was kept of an earlier query."""
        if self._queries is None:
            raise Refusal(404, "query: none are kept here")
        return await self._decoders.run(self._queries.get, query_id)

    async def keep(self, query: Query) -> str | None:
        """Keep a query; return its id, None where none are kept, or where that has failed: the answer is not lost."""
        if self._queries is None:
            return None
        try:
            return await self._decoders.run(self._queries.put, query)
        except sqlite3.Error as error:
            log.error("a query could not be kept: %s", error)
            return None

    async def _embedded(self, engine: Engine, made: Sequence[Prepared], photos: Sequence[bytes]) -> Query:
        vector = await engine.embed([one.square for one in made])
        first = made[0]
        return Query(photos, first.width, first.height, first.boxes, engine.model, vector)


async def answered(engine: Engine, query: Query, query_id: str | None, wanted: Narrowed) -> SearchAnswer:
    """Rank the products for a query, and tell a page of them."""
    where = wanted.within(engine)
    ranking = await engine.rank(query.vector, where, wanted.deep)
    total = engine.current.within(where).products
    if wanted.min_probability is not None and ranking.probability is not None:
        likely = ranking.probability >= wanted.min_probability
        ranking = Ranking(ranking.row[likely], ranking.sq_distance[likely], ranking.probability[likely])
        total = len(ranking.row)
    return SearchAnswer(
        query_id=query_id,
        photo=AskedPhoto(width=query.width, height=query.height, url=asked_photo_url(query_id)),
        boxes=[ShownBox.model_validate(vars(box)) for box in query.boxes],
        results=_page(engine, ranking, wanted),
        total=total,
        offset=wanted.offset,
        limit=wanted.limit,
        facets=engine.current.counted(wanted.facets, ranking),
        lineage=engine.lineage,
    )


async def similar_ones(engine: Engine, product_id: str, wanted: Narrowed) -> SimilarAnswer:
    """Tell a page of the products most like one: of its published list or, with a filter, of a search within that.

    A list that a change may have touched is searched for.
    """
    where = wanted.within(engine)
    ranking = engine.current.listed(product_id) if wanted.filter is None else await engine.like(product_id, where)
    if ranking is None:
        own = str(engine.current.said("category", engine.current.rows(product_id)[:1])[0])
        ranking = await engine.like(product_id, Where(own), engine.facts.similar_k)
    total, counts = len(ranking.row), dict[str, list[Count] | Numbers]()
    if wanted.filter is not None or wanted.facets:
        of_all, counts = engine.current.others(wanted.facets, product_id, where)
        total = total if wanted.filter is None else of_all
    return SimilarAnswer(
        product_id=product_id,
        results=_page(engine, ranking, wanted),
        total=total,
        offset=wanted.offset,
        limit=wanted.limit,
        facets=counts,
        lineage=engine.lineage,
    )


def _page(engine: Engine, ranking: Ranking, wanted: Narrowed) -> list[Result]:
    """Return what is told of the products that answer, a page of them."""
    start, stop = wanted.offset, wanted.offset + wanted.limit
    told = []
    for row, hit in zip(ranking.row[start:stop].tolist(), engine.current.hits(ranking, start, stop), strict=True):
        photo_id = engine.current.photo_id(row)
        one = Result(
            product_id=hit.product_id,
            photo_id=photo_id,
            photo_url=photo_url(photo_id),
            category=hit.category,
            colour=hit.colour,
            attributes=engine.current.attributes(row),
            sq_distance=hit.sq_distance,
            probability=hit.probability,
        )
        told.append(one)
    return told


def photo_url(photo_id: str) -> str:
    """Return where a photo of the catalog is."""
    return f"/v1/photos/{photo_id}"
