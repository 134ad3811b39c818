"""The API's routes for what is in the catalog: products, their lists, photos, and what is served."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from visnet.serving.app import state
from visnet.serving.app.answers.catalog import CatalogAnswer, PhotoQuality, ProductAnswer, ProductPhoto, SimilarAnswer
from visnet.serving.app.answers.counts import Count
from visnet.serving.app.engine import Engine
from visnet.serving.app.facets import LEVELS
from visnet.serving.app.filters import DOCUMENTED
from visnet.serving.app.search import COLLAPSE, NO_TEXT, Narrowed, photo_url
from visnet.serving.app.similar import similar_ones
from visnet.serving.app.steps import DEPTH
from visnet.serving.app.uploads import shrunk
from visnet.serving.photo_verdicts import PhotoVerdict

router = APIRouter(prefix="/v1", tags=["catalog"])
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {}}},
    304: {"description": "not another one"},
}
FOREVER = "public, max-age=31536000, immutable"  # another picture of a product has another id


@router.get("/products/{product_id:path}/similar", response_model=SimilarAnswer)
async def similar(
    request: Request,
    product_id: str,
    limit: Annotated[int, Query(ge=1, le=DEPTH)] = 24,
    offset: Annotated[int, Query(ge=0, lt=DEPTH)] = 0,
    filter: Annotated[str | None, Query(**DOCUMENTED)] = None,
    facets: Annotated[str, Query(description=f"columns whose values are counted over all other products{LEVELS}")] = "",
    collapse: Annotated[Literal["duplicates"] | NO_TEXT, Query(description=COLLAPSE)] = None,
) -> Response:
    """Return the products most like one of the catalog, with the probabilities of a search for its own photo.

    Without a filter they are its published list, of its own category; with one, its stored photos are searched for
    among all products that the filter finds. Either is exact. Where double listings are collapsed, the product's own is
    left out with it, and facets are counted over the best 2,048 answers.
    """
    narrowed = Narrowed.of(limit=limit, offset=offset, filter=filter, facets=facets, collapse=collapse)
    async with state.of(request).engines.lease() as engine:
        told = await similar_ones(engine, product_id, narrowed)
    return Response(told.model_dump_json(), media_type="application/json")


@router.get("/products/{product_id:path}", response_model=ProductAnswer)
async def product(request: Request, product_id: str) -> Response:
    """Return what the catalog says of a product."""
    async with state.of(request).engines.lease() as engine:
        current = engine.current
        rows = current.rows(product_id)
        names = [current.photo_id(row) for row in rows.tolist()]
        tells = current.told(int(rows[0]))
        told = ProductAnswer(
            product_id=product_id,
            category=current.said("category", rows[:1])[0],
            category_told=tells is not None,
            category_probability=None if tells is None else tells.probability,
            colour=current.said("colour", rows[:1])[0],
            attributes=current.attributes([int(rows[0])])[0],
            photos=[_told(name, current.verdict(name)) for name in names],
            lineage=engine.lineage,
        )
    return Response(told.model_dump_json(), media_type="application/json")


@router.get("/photos/{photo_id}", response_class=Response, responses=PICTURE)
async def photo(request: Request, photo_id: str, side: Annotated[int, Query(ge=64, le=1024)] = 320) -> Response:
    """Return a product's photo, its longer side as wanted, or as it is stored where that is smaller."""
    there, name = state.of(request), f"{photo_id}-{side}"
    headers = {"ETag": f'"{name}"', "Cache-Control": FOREVER}
    async with there.engines.lease() as engine:
        await there.reading.run(engine.current.check_photo, photo_id)
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        picture = there.shown.get(name)
        if picture is None:
            picture = await there.reading.run(_picture, engine, photo_id, side)
            there.shown.put(name, picture)
    return Response(picture, media_type="image/jpeg", headers=headers)


@router.get("/catalog", response_model=CatalogAnswer)
async def catalog(request: Request) -> Response:
    """Say what is served."""
    async with state.of(request).engines.lease() as engine:
        told = CatalogAnswer(
            products=engine.current.within().products,
            photos=engine.current.photos(),
            categories=[Count(value=name, count=count) for name, count in engine.current.categories().items()],
            columns=engine.current.described(),
            lineage=engine.lineage,
            localizer=engine.localizer is not None,
            taxonomy=None if engine.teller is None else engine.teller.tree.version,
            url_photos=state.of(request).remote is not None,
        )
    return Response(told.model_dump_json(), media_type="application/json")


def _told(photo_id: str, found: PhotoVerdict | None) -> ProductPhoto:
    quality = None
    if found is not None:
        said = {"verdict": found.verdict, "fault": found.fault or None, "score": round(found.score, 6)}
        quality = PhotoQuality.model_validate(said)
    return ProductPhoto(photo_id=photo_id, url=photo_url(photo_id), quality=quality)


def _picture(engine: Engine, photo_id: str, side: int) -> bytes:
    return shrunk(engine.current.picture(photo_id), side)
