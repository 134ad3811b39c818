"""The API's route for what people did with answers."""

import datetime
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request
from pydantic import Discriminator, Field, Tag
from starlette.responses import Response

from visnet.serving.app import state
from visnet.serving.app.answers.changes import EventsAnswer
from visnet.serving.app.api import of_type
from visnet.serving.app.problems import Refusal, busy
from visnet.serving.app.queries import Query
from visnet.serving.events import Event

MOST = 1000
AHEAD = datetime.timedelta(minutes=5)  # that another's clock may be
router = APIRouter(prefix="/v1", tags=["events"])
Events = Annotated[list[Event], Field(min_length=1, max_length=MOST)]


def _which(given: object) -> str:
    return "events" if isinstance(given, list) else "event"


Told = Annotated[Annotated[Event, Tag("event")] | Annotated[Events, Tag("events")], Discriminator(_which), Body()]


@router.post("/events", response_model=EventsAnswer, dependencies=[Depends(of_type("application/json"))])
async def events(request: Request, told: Told) -> Response:
    """Tell what was done with answers: opened, bought, or dismissed. All are kept, or none.

    The queries must still be kept, and the products be in the catalog.
    """
    there, given = state.of(request), told if isinstance(told, list) else [told]
    latest = datetime.datetime.now(datetime.UTC) + AHEAD
    queries: dict[str, Query] = {}
    async with there.engines.lease() as engine:
        for at, one in enumerate(given):
            where = f"events.{at}" if isinstance(told, list) else "event"
            if one.at is not None and one.at > latest:
                raise Refusal(422, f"{where}.at: {one.at.isoformat()} is in the future")
            if not engine.facts.has(one.product_id):
                raise Refusal(422, f"{where}.product_id: {one.product_id[:80]!r} is not in the catalog")
            if one.query_id not in queries:
                queries[one.query_id] = await there.searches.kept(one.query_id)
    if there.events is None:
        raise busy("events cannot be kept here just now")
    asked = {name: (query.model, query.vector.numpy().astype("<f4").tobytes()) for name, query in queries.items()}
    new = await there.reading.run(there.events.put, given, asked)
    return Response(EventsAnswer(received=len(given), new=new).model_dump_json(), media_type="application/json")
