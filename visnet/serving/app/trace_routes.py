"""The API's route for where a product's answers are from."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from starlette.responses import Response

from visnet.errors import NotFound
from visnet.serving.app import state
from visnet.serving.app.answers.trace import (
    ChangeTraced,
    NowTraced,
    PhotoTraced,
    RecordTraced,
    TraceAnswer,
    VersionTraced,
)
from visnet.serving.app.current import Current
from visnet.serving.app.settings import Settings
from visnet.serving.live.changes import Change
from visnet.serving.trace import Trace, TracedRecord, TracedVersion, traced

NAMED = 8  # characters of a crop's hash in the name of a photo
HASH = 12  # characters of a hash that are told
MOST = 100  # changes of a product that are told
router = APIRouter(prefix="/v1", tags=["catalog"])


@router.get("/products/{product_id:path}/trace", response_model=TraceAnswer)
async def trace(request: Request, product_id: str) -> Response:
    """Say where a product's answers are from: its record and batch, photos, runs, data, version, and changes since.

    The same as `python -m visnet trace`, but for what a visitor has no business with: reasons of dead changes, and what
    people opened. The batch is looked for among the newest 20,000 records of the inbox.
    """
    there = state.of(request)
    async with there.engines.lease() as engine:
        data = there.settings.data
        found = await there.reading.run(traced, engine.version, product_id, data, there.batch_of)
        told = TraceAnswer(
            product_id=product_id,
            record=None if found.record is None else _record(found.record),
            photos=_photos(found),
            version=_version(found.version, there.settings),
            changes=[_change(one) for one in found.changes[:MOST]],
            now=_now(engine.current, product_id),
        )
    return Response(told.model_dump_json(), media_type="application/json")


def _record(found: TracedRecord) -> RecordTraced:
    when = None if found.updated_at is None else _time(found.updated_at / 1e6)
    return RecordTraced(op=found.op, seq=found.seq, updated_at=when, batch=found.batch or None, lost=found.lost or None)


def _photos(found: Trace) -> list[PhotoTraced]:
    """Name photos as the API does: a source may know one by an address that is no visitor's business."""
    return [
        PhotoTraced(photo_id=f"{one.crop_id}.{one.crop[:NAMED]}", crop=one.crop[:HASH], vector=one.vector[:HASH])
        for one in found.photos
    ]


def _version(found: TracedVersion, settings: Settings) -> VersionTraced:
    dagster, mlflow = settings.dagster_ui, settings.mlflow_ui
    return VersionTraced(
        catalog_version=found.number,
        published=found.published,
        model=found.model,
        precision=found.precision,
        dagster_run=found.dagster_run,
        dagster_url=f"{dagster}/runs/{found.dagster_run}" if dagster and found.dagster_run else None,
        mlflow_run=found.mlflow_run,
        mlflow_url=f"{mlflow}/{found.mlflow_page}" if mlflow and found.mlflow_page else None,
        checked_out=not found.behind,
        data=dict(found.data),
    )


def _change(one: Change) -> ChangeTraced:
    told = {
        "batch": one.batch,
        "line": one.line,
        "op": one.op,
        "state": one.state,
        "accepted": _time(one.accepted_s),
        "visible_since": None if one.visible_s is None else _time(one.visible_s),
        "catalog_version": one.version,
    }
    return ChangeTraced.model_validate(told)


def _now(current: Current, product_id: str) -> NowTraced:
    changed = current.overlay.products.get(product_id)
    if changed is not None and changed.withdrawn:
        return NowTraced(state="withdrawn", changed=True, photos=0)
    try:
        photos = len(current.rows(product_id))
    except NotFound:
        return NowTraced(state="absent", changed=False, photos=0)
    return NowTraced(state="answers", changed=changed is not None, photos=photos)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
