"""From what was asked to its answer: a query made of photos or found again, ranked, and told page by page."""

import dataclasses
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visnet.serving.app.answers import AskedPhoto, Count, Result, SearchAnswer, ShownBox, asked_photo_url
from visnet.serving.app.engine import DEPTH, Engine, counts
from visnet.serving.app.problems import Refusal, log
from visnet.serving.app.queries import Query, QueryStore
from visnet.serving.app.uploads import Decoders, Prepared, Wanted
from visnet.serving.searcher import Ranking


@dataclass(frozen=True)
class Narrowed:
    """Which of the answers are wanted."""

    limit: int
    offset: int
    category: str | None
    min_probability: float | None

    def check(self, engine: Engine) -> None:
        """Refuse what lies beyond the answers that are ranked, or needs what the version lacks."""
        if self.offset + self.limit > DEPTH:
            raise Refusal(422, f"offset + limit is {self.offset + self.limit}; allowed is {DEPTH:,} at most")
        if self.min_probability is not None and not engine.calibrated:
            raise Refusal(422, "min_probability: this version has no calibration, so no answer has a probability")


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
    ranking = await engine.rank(query.vector, wanted.category)
    total = engine.current.products(wanted.category)
    if wanted.min_probability is not None and ranking.probability is not None:
        likely = ranking.probability >= wanted.min_probability
        ranking = Ranking(ranking.row[likely], ranking.sq_distance[likely], ranking.probability[likely])
        total = len(ranking.row)
    return SearchAnswer(
        query_id=query_id,
        photo=AskedPhoto(width=query.width, height=query.height, url=asked_photo_url(query_id)),
        boxes=[ShownBox.model_validate(vars(box)) for box in query.boxes],
        results=results(engine, ranking, wanted.offset, wanted.offset + wanted.limit),
        total=total,
        offset=wanted.offset,
        limit=wanted.limit,
        facets={name: counted(engine.current.said(name, ranking.row)) for name in ("category", "colour")},
        lineage=engine.lineage,
    )


def results(engine: Engine, ranking: Ranking, start: int, stop: int) -> list[Result]:
    """Return what is told of the products that answer, from the place `start` up to `stop`."""
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


def counted(values: np.ndarray) -> list[Count]:
    """Count values, the most frequent first."""
    return [Count(value=value, count=count) for value, count in counts(values).items()]
