"""Queries: made of photos and boxes, kept, and found again."""

import dataclasses
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from visnet.serving.app.batches import Together
from visnet.serving.app.engine import Engine
from visnet.serving.app.problems import Refusal, log
from visnet.serving.app.queries import Query, QueryStore
from visnet.serving.app.uploads import Decoders, Prepared, Wanted


@dataclass(frozen=True)
class AskedSearch:
    """What a search is asked with: photos of one thing, or an earlier query; and boxes of the first photo, in words.

    grouped: each box is searched for alone, or each that the localizer is sure of where none is given.
    """

    photos: Sequence[bytes]
    query_id: str | None
    boxes: Sequence[str]
    grouped: bool


class Searches:
    """Makes queries of photos, keeps them, and finds them again."""

    def __init__(self, decoders: Decoders, queries: QueryStore | None) -> None:
        """Take None for `queries` to keep none; those that come at about the same time are kept in one commit."""
        self._decoders, self._queries = decoders, queries
        self._keeping = None if queries is None else Together(queries.put, decoders.threads)

    async def query(self, engine: Engine, asked: AskedSearch) -> tuple[Query, str | None]:
        """Make a query, or find an earlier one; with its id where it is kept as it is, None where it is a new one."""
        if asked.query_id is None:
            return await self._made(engine, asked), None
        earlier = await self.find(engine, asked.query_id)
        if not asked.boxes and (earlier.grouped or not asked.grouped):
            return earlier, asked.query_id
        return await self._boxed(engine, earlier, asked), None

    async def find(self, engine: Engine, query_id: str) -> Query:
        """Return an earlier query; its photos are embedded anew where that was by another model."""
        query = await self.kept(query_id)
        if query.model == engine.model:
            return query
        best = query.boxes[0]
        if best.used and best.kind != "given" and not query.grouped:  # what is proposed now may be another one
            first, others = Wanted(width=query.width), Wanted()
            made = await self._decoders.prepare(query.photos, engine, first, others)
            return await self._embedded(engine, made, query.photos)
        first, others = Wanted([box.box for box in query.boxes if box.used], width=query.width), Wanted()
        made = await self._decoders.prepare(query.photos, engine, first, others)
        new = await self._embedded(engine, made, query.photos, grouped=query.grouped)
        return dataclasses.replace(new, boxes=query.boxes)

    async def kept(self, query_id: str) -> Query:
        """Return what was kept of an earlier query."""
        if self._queries is None:
            raise Refusal(404, "query: none are kept here")
        return await self._decoders.run(self._queries.get, query_id)

    async def keep(self, query: Query) -> str | None:
        """Keep a query; return its id, None where none are kept, or where that has failed: the answer is not lost."""
        if self._keeping is None:
            return None
        try:
            return await self._keeping.ask(query)
        except sqlite3.Error as error:
            log.error("a query could not be kept: %s", error)
            return None

    async def _made(self, engine: Engine, asked: AskedSearch) -> Query:
        keep = self._queries is not None
        first, others = Wanted(asked.boxes, keep, every=asked.grouped), Wanted(keep=keep)
        made = await self._decoders.prepare(_of_one(asked.photos, asked), engine, first, others)
        return await self._embedded(engine, made, [one.jpeg or b"" for one in made], grouped=asked.grouped)

    async def _boxed(self, engine: Engine, earlier: Query, asked: AskedSearch) -> Query:
        """Make a query of the photos of an earlier one with other boxes, or its own apart; what was proposed stays."""
        photos = _of_one(earlier.photos, asked)
        of_kind = {kind: [box for box in earlier.boxes if box.kind == kind] for kind in ("given", "proposed")}
        known = [] if asked.boxes else of_kind["given"] or of_kind["proposed"]
        first = Wanted(asked.boxes or [box.box for box in known], width=earlier.width, every=asked.grouped)
        made = await self._decoders.prepare(photos, engine, first, Wanted())
        new = await self._embedded(engine, made, photos, grouped=asked.grouped)
        used = [dataclasses.replace(box, used=True) for box in known] or [box for box in new.boxes if box.used]
        others = [dataclasses.replace(box, used=False) for box in earlier.boxes if box.kind != "given"]
        there = [(box.kind, box.box) for box in used]
        return dataclasses.replace(new, boxes=[*used, *(box for box in others if (box.kind, box.box) not in there)])

    async def _embedded(
        self, engine: Engine, made: Sequence[Prepared], photos: Sequence[bytes], *, grouped: bool = False
    ) -> Query:
        squares, first = [square for one in made for square in one.squares], made[0]
        vectors = await engine.embed_each(squares) if grouped else (await engine.embed(squares))[None]
        return Query(photos, first.width, first.height, first.boxes, engine.model, vectors, grouped)


def _of_one(photos: Sequence[bytes], asked: AskedSearch) -> Sequence[bytes]:
    """Refuse to group the boxes of several photos."""
    if asked.grouped and len(photos) > 1:
        raise Refusal(422, f"group_by=box: {len(photos)} photos of one thing were given; allowed is 1")
    return photos
