"""The API's routes for changes of the catalog: put and delete a product, many at once, and what became of them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from visnet.serving.app import state
from visnet.serving.app.admission import check_holder
from visnet.serving.app.answers.changes import ChangesAnswer, ChangeTold
from visnet.serving.app.engine import Engine
from visnet.serving.app.problems import Refusal
from visnet.serving.app.state import State
from visnet.serving.live.changes import Change
from visnet.serving.live.ranks import Before
from visnet.serving.live.store import AskedChange
from visnet.sources.changefeed.batches import parsed
from visnet.sources.rows.values import Bad

MOST_UPLOADS, MOST_RECORDS = 20, 1000
FORM = "multipart/form-data"
RECORD = {"type": "object", "description": "a record of the change feed, without product_id and op"}
PUT_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": RECORD},
            FORM: {
                "schema": {
                    "type": "object",
                    "properties": {
                        "record": {"type": "string", "description": "the record, as JSON"},
                        "photo": {"type": "array", "items": {"type": "string", "format": "binary"}, "maxItems": 20},
                    },
                }
            },
        },
    }
}
BATCH_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-ndjson": {"schema": {"type": "string", "description": "a record a line"}},
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}, "maxItems": MOST_RECORDS}},
        },
    }
}
router = APIRouter(prefix="/v1", tags=["changes"], dependencies=[Depends(check_holder)])


@router.put("/products/{product_id:path}", status_code=202, response_model=ChangesAnswer, openapi_extra=PUT_BODY)
async def put(request: Request, product_id: str) -> Response:
    """Add a product, or say of it anew all there is to say.

    The record is one of the change feed: `category`, `photos` (paths or addresses), `colour`, `title`, `price`, and any
    further fields. Photos may be uploaded beside it, 1 to 20, and come first.
    """
    there = state.of(request)
    writes = there.writes_or_refusal
    _ = writes.line
    fields, cut = await _read(request, there)
    named = fields.get("product_id", product_id)
    if named != product_id or str(fields.get("op", "upsert")).lower() != "upsert":
        raise Refusal(422, "record: product_id and op may be left out; else allowed are the path's own, and upsert")
    fields = {**fields, "product_id": product_id, "op": "upsert"}
    async with there.engines.lease() as engine:
        asked = AskedChange(1, fields, _before(engine, product_id))
    return _accepted(await writes.accept([asked], cut, alone=True))


@router.delete("/products/{product_id:path}", status_code=202, response_model=ChangesAnswer)
async def delete(
    request: Request,
    product_id: str,
    seq: Annotated[int | None, Query(description="the feed's number of this change")] = None,
    updated_at: Annotated[str | None, Query(description="when it was made; left out, now")] = None,
) -> Response:
    """Withdraw a product."""
    there = state.of(request)
    fields = {"product_id": product_id, "op": "delete", "seq": seq, "updated_at": updated_at}
    fields = {name: value for name, value in fields.items() if value is not None}
    async with there.engines.lease() as engine:
        asked = AskedChange(1, fields, _before(engine, product_id))
    return _accepted(await there.writes_or_refusal.accept([asked], alone=True))


@router.post("/products:batch", status_code=202, response_model=ChangesAnswer, openapi_extra=BATCH_BODY)
async def batch(request: Request) -> Response:
    """Change up to 1,000 products: records of the change feed, with `product_id` and `op` (upsert or delete).

    As JSON lines, or as a JSON list. Each is accepted or refused on its own.
    """
    there = state.of(request)
    writes = there.writes_or_refusal
    _ = writes.line
    rows = _records(await request.body())
    request.state.owe(len(rows) - 1)
    async with there.engines.lease() as engine:
        asked = []
        for line, text, fields in rows:
            name = fields.get("product_id") if isinstance(fields, dict) else None
            asked.append(AskedChange(line, fields, _before(engine, name if isinstance(name, str) else ""), text))
    return _accepted(await writes.accept(asked))


@router.get("/changes/{batch}", response_model=ChangesAnswer)
async def changes(request: Request, batch: str) -> Response:
    """Say what became of changes: waiting for photos, visible, or dead, and why."""
    found = await state.of(request).writes_or_refusal.batch(batch)
    return Response(_told(found).model_dump_json(), media_type="application/json")


async def _read(request: Request, there: State) -> tuple[dict[str, Any], Sequence[Any]]:
    """Read a record, and keep the photos beside it."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM:
        return _record(await request.body()), ()
    async with request.form(max_files=MOST_UPLOADS, max_fields=10) as form:
        uploads = [part for part in form.getlist("photo") if isinstance(part, UploadFile)]
        given = form.get("record", "{}")
        fields = _record(await given.read() if isinstance(given, UploadFile) else given.encode())
        cut = []
        for at, part in enumerate(uploads):
            cut.append(await there.writes_or_refusal.keep(await part.read(), f"photo {at + 1}"))
    named = fields.get("photos") or []
    if not isinstance(named, list):
        raise Refusal(422, "record: photos: a list is wanted")
    return {**fields, "photos": [*(photo.name for photo in cut), *named]}, cut


def _record(data: bytes) -> dict[str, Any]:
    try:
        found = parsed(data.decode())
    except (Bad, UnicodeDecodeError) as error:
        raise Refusal(400, f"record: {error if isinstance(error, Bad) else 'not UTF-8 text'}") from None
    if not isinstance(found, dict):
        raise Refusal(400, "record: a JSON object is wanted")
    return found


def _records(data: bytes) -> list[tuple[int, str, Any]]:
    """Read line, text and fields of the records of a batch; what cannot be read has its reason for fields."""
    try:
        text = data.decode("utf-8-sig")
        listed = parsed(text) if text.lstrip().startswith("[") else None
    except (Bad, UnicodeDecodeError):
        raise Refusal(400, "wanted are JSON lines, or a JSON list of records, in UTF-8") from None
    rows: list[tuple[int, str, Any]] = []
    if listed is not None:
        rows = [(line, json.dumps(one, ensure_ascii=False), one) for line, one in enumerate(listed, 1)]
    else:
        for line, one in enumerate(text.split("\n"), 1):
            if one.strip():
                rows.append((line, one, _parsed(one)))
    if not 1 <= len(rows) <= MOST_RECORDS:
        raise Refusal(422, f"{len(rows):,} records were given; allowed are 1 to {MOST_RECORDS:,}")
    return [(line, text, one if isinstance(one, dict | Bad) else Bad("not a JSON object")) for line, text, one in rows]


def _parsed(text: str) -> Any:
    try:
        return parsed(text)
    except Bad as bad:
        return bad


def _before(engine: Engine, product_id: str) -> Before:
    return Before(engine.ranks.of(product_id), engine.ranks.numbered)


def _accepted(made: Sequence[Change]) -> Response:
    told = _told(made)
    headers = {"Location": f"/v1/changes/{told.batch}"}
    return Response(told.model_dump_json(), 202, media_type="application/json", headers=headers)


def _told(found: Sequence[Change]) -> ChangesAnswer:
    told = [
        ChangeTold(
            line=one.line,
            product_id=one.product_id,
            op=one.op,
            state=one.state,
            reason=one.reason or None,
            visible_since=None if one.visible_s is None else datetime.fromtimestamp(one.visible_s, UTC).isoformat(),
            catalog_version=one.version,
        )
        for one in found
    ]
    return ChangesAnswer(batch=found[0].batch, changes=told)
