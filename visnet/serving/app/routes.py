"""The API's routes for photos that are asked with: search, permalinks, comparing."""

from typing import Annotated, Literal

import numpy as np
import torch
from fastapi import APIRouter, Depends, File, Form, Query, Request, UploadFile
from pydantic import WithJsonSchema
from starlette.responses import Response

from visnet.serving.app import state
from visnet.serving.app.answers.catalog import CompareAnswer
from visnet.serving.app.answers.search import SearchAnswer
from visnet.serving.app.api import of_type
from visnet.serving.app.engine import Engine
from visnet.serving.app.facets import FACETS
from visnet.serving.app.filters import DOCUMENTED
from visnet.serving.app.in_category import IN_CATEGORY, check_told, shown_category
from visnet.serving.app.problems import Refusal
from visnet.serving.app.search import COLLAPSE, NO_TEXT, Narrowed, answered
from visnet.serving.app.searches import AskedSearch
from visnet.serving.app.steps import DEPTH, Question
from visnet.serving.app.uploads import Wanted

MOST_PHOTOS = MOST_BOXES = 8
BOXES = "left,top,right,bottom in pixels of the first photo; several are looks at one thing, unless they are grouped"
GROUP_BY = "each box is searched for alone; without boxes, each part that the localizer is sure of"
FORM = Depends(of_type("multipart/form-data", "application/x-www-form-urlencoded"))
LIMIT, OFFSET = Query(ge=1, le=DEPTH), Query(ge=0, lt=DEPTH)
SHARE = WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})
router = APIRouter(prefix="/v1", tags=["search"])


@router.post("/search", response_model=SearchAnswer, dependencies=[FORM])
async def search(
    request: Request,
    *,
    photo: Annotated[list[UploadFile], File(description="1 to 8 photos of one thing")] = [],  # noqa: B006
    query_id: Annotated[str | NO_TEXT, Form(description="an earlier search, instead of photos")] = None,
    url: Annotated[str | NO_TEXT, Form(max_length=2048, description="where a photo is, if this is allowed")] = None,
    box: Annotated[list[str], Form(description=BOXES, examples=[["12,8,540,580"]], max_length=MOST_BOXES)] = [],  # noqa: B006
    group_by: Annotated[Literal["box"] | NO_TEXT, Form(description=GROUP_BY)] = None,
    category: Annotated[str | NO_TEXT, Form(description="only this one")] = None,
    limit: Annotated[int, Form(ge=1, le=DEPTH)] = 24,
    offset: Annotated[int, Form(ge=0, lt=DEPTH)] = 0,
    min_probability: Annotated[float | None, Form(ge=0, le=1), SHARE] = None,
    filter: Annotated[str | None, Form(**DOCUMENTED)] = None,
    facets: Annotated[str | None, Form(description=FACETS)] = None,
    collapse: Annotated[Literal["duplicates"] | NO_TEXT, Form(description=COLLAPSE)] = None,
    in_category: Annotated[bool, Form(description=IN_CATEGORY)] = False,
) -> Response:
    """Find the products most like a photo.

    Several photos are of one thing, and so are several boxes: their unit vectors are averaged. Without a box, the one
    that the localizer proposes is used, or the whole photo. Each product answers once, by its nearest photo.
    """
    there = state.of(request)
    if bool(photo) + (query_id is not None) + (url is not None) != 1:
        raise Refusal(400, "wanted is either photo (1 to 8 files), query_id of an earlier search, or url")
    if url is not None and there.remote is None:
        raise Refusal(403, "url: photos are not asked for by their address here; serve --allow-url-photos does")
    if len(photo) > MOST_PHOTOS:
        raise Refusal(422, f"photo: {len(photo)} files were given; allowed are 1 to {MOST_PHOTOS}")
    narrowed = Narrowed.of(
        limit=limit,
        offset=offset,
        category=category,
        min_probability=min_probability,
        filter=filter,
        facets=facets,
        collapse=collapse,
    )
    data, kept_to = [await file.read() for file in photo], None
    if url is not None and there.remote is not None:
        data = [await there.remote.photo(url)]
    async with there.engines.lease() as engine:
        narrowed.within(engine)  # refused before a photo is decoded
        if in_category:
            check_told(engine, group_by is not None)
        asked = AskedSearch(data, query_id, [one for one in box if one], group_by is not None)
        query, known = await there.searches.query(engine, asked)
        if in_category:
            check_told(engine, query.grouped)
            kept_to = await shown_category(engine, there.decoders, query, data or query.photos)
        told = await answered(engine, query, known or await there.searches.keep(query), narrowed, kept_to)
    return Response(told.model_dump_json(), media_type="application/json")


@router.get("/queries/{query_id}", response_model=SearchAnswer)
async def again(
    request: Request,
    query_id: str,
    *,
    limit: Annotated[int, LIMIT] = 24,
    offset: Annotated[int, OFFSET] = 0,
    category: str | NO_TEXT = None,
    min_probability: Annotated[float | None, Query(ge=0, le=1), SHARE] = None,
    filter: Annotated[str | None, Query(**DOCUMENTED)] = None,
    facets: Annotated[str | None, Query(description=FACETS)] = None,
    collapse: Annotated[Literal["duplicates"] | NO_TEXT, Query(description=COLLAPSE)] = None,
) -> Response:
    """Answer an earlier search by the catalog of now."""
    there = state.of(request)
    narrowed = Narrowed.of(
        limit=limit,
        offset=offset,
        category=category,
        min_probability=min_probability,
        filter=filter,
        facets=facets,
        collapse=collapse,
    )
    async with there.engines.lease() as engine:
        narrowed.within(engine)
        query = await there.searches.find(engine, query_id)
        told = await answered(engine, query, query_id, narrowed)
    return Response(told.model_dump_json(), media_type="application/json")


@router.get("/queries/{query_id}/photo", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
async def asked_photo(request: Request, query_id: str) -> Response:
    """Return the photo of an earlier search, the first one if there were several."""
    query = await state.of(request).searches.kept(query_id)
    headers = {"Cache-Control": "private, max-age=86400, immutable"}
    return Response(query.photos[0], media_type="image/jpeg", headers=headers)


@router.post("/compare", response_model=CompareAnswer, dependencies=[FORM])
async def compare(
    request: Request,
    *,
    photo: Annotated[list[UploadFile], File(description="files")] = [],  # noqa: B006
    product_id: Annotated[list[str], Form(description="ids of the catalog")] = [],  # noqa: B006
) -> Response:
    """Say how far two things are from each other: two photos, two products, or one of each."""
    there = state.of(request)
    if len(photo) + len(product_id) != 2:
        given = f"{len(photo)} photos and {len(product_id)} products were given"
        raise Refusal(400, f"{given}; wanted are two in all, each a photo or a product_id")
    data = [await file.read() for file in photo]
    async with there.engines.lease() as engine:
        rows = [engine.current.rows(product) for product in product_id]
        made = await there.decoders.prepare(data, engine, Wanted(), Wanted())
        vectors = [(await engine.embed(one.squares)).numpy()[None] for one in made]
        vectors += [engine.current.stored(mine).numpy() for mine in rows]
        differences = vectors[0].astype(np.float64)[:, None] - vectors[1].astype(np.float64)[None]
        sq_distances = np.square(differences).sum(2)
        nearest = np.unravel_index(int(sq_distances.argmin()), sq_distances.shape)
        matched: list[str | None] = [None] * len(made)
        for mine, at in zip(rows, nearest[len(made) :], strict=True):
            matched.append(engine.current.photo_id(int(mine[at])))
        probability = None
        if len(made) == 1:
            uncropped = any(box.used and box.kind == "whole" for box in made[0].boxes)
            probability = await _as_a_search_says(engine, vectors[0][0], rows[0], uncropped=uncropped)
    told = CompareAnswer(
        sq_distance=float(sq_distances.min()), probability=probability, photos=matched, lineage=engine.lineage
    )
    return Response(told.model_dump_json(), media_type="application/json")


async def _as_a_search_says(engine: Engine, vector: np.ndarray, rows: np.ndarray, *, uncropped: bool) -> float | None:
    """Return the probability that a search of the whole catalog gives a product, None if it does not find it."""
    (ranking,) = await engine.rank(Question(torch.from_numpy(vector), uncropped=uncropped))
    (product_id,) = engine.current.said("product_id", rows[:1])
    found = np.flatnonzero(engine.current.said("product_id", ranking.row) == product_id)
    return None if ranking.probability is None or not len(found) else float(ranking.probability[found[0]])
