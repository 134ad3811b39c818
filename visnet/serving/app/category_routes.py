"""The API's route for what photos show, down the taxonomy."""

import asyncio
import io
from typing import Annotated

import torch
from fastapi import APIRouter, File, Request, UploadFile
from starlette.responses import Response

from visnet.categorizing.answers import PathAnswer
from visnet.categorizing.attention_picture import MANY_PX, panels
from visnet.categorizing.categorizer import Categorizer
from visnet.categorizing.teller import Teller
from visnet.photos import codec
from visnet.serving.app import state
from visnet.serving.app.answers.categories import CategorizeAnswer, CategoryLevel, PhotoCategory
from visnet.serving.app.in_category import OFF
from visnet.serving.app.problems import Refusal, unreadable
from visnet.serving.app.queries import Query
from visnet.serving.app.routes import FORM, MOST_PHOTOS
from visnet.sheets.contact_sheet import sheet
from visnet.taxonomy.paths import levels_of

router = APIRouter(prefix="/v1", tags=["search"])


@router.post("/categorize", response_model=CategorizeAnswer, dependencies=[FORM])
async def categorize(
    request: Request,
    *,
    photo: Annotated[list[UploadFile], File(description="1 to 8 photos, each of which is answered on its own")],
) -> Response:
    """Tell what photos show: a path of the taxonomy, never another, as far as the model is sure of its levels."""
    there = state.of(request)
    if len(photo) > MOST_PHOTOS:
        raise Refusal(400, f"{len(photo)} photos are too many, allowed are {MOST_PHOTOS}")
    async with there.engines.lease() as engine:
        teller = engine.teller
        if teller is None:
            raise Refusal(409, OFF)
        data = [await one.read() for one in photo]
        names = ["photo"] if len(photo) == 1 else [f"photo {at + 1}" for at in range(len(photo))]
        work = (there.decoders.run(_opened, *one, teller) for one in zip(data, names, strict=True))
        squares = await asyncio.gather(*work)
        found = await asyncio.gather(*map(engine.categorize, squares))
        version = teller.tree.version
        answer = CategorizeAnswer(photos=[_told(one) for one in found], taxonomy=version, lineage=engine.lineage)
    return Response(answer.model_dump_json(), media_type="application/json")


@router.get("/queries/{query_id}/looks", response_class=Response, responses={200: {"content": {"image/png": {}}}})
async def looks(request: Request, query_id: str) -> Response:
    """Draw where the model of categories looks in the photo of a search, a panel for each level that it has learnt."""
    there = state.of(request)
    async with there.engines.lease() as engine:
        if engine.teller is None:
            raise Refusal(409, OFF)
        query = await there.searches.kept(query_id)
        png = await there.decoders.run(_drawn, query, engine.teller.categorizer)
    return Response(png, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


def _drawn(query: Query, categorizer: Categorizer) -> bytes:
    picture = codec.decode(query.photos[0])
    scale = picture.width / query.width
    left, top, right, bottom = (edge * scale for edge in next(box.box for box in query.boxes if box.used))
    shown = codec.crop(picture, (left, top, right - left, bottom - top))
    (answer,) = categorizer.categorize([categorizer.square(shown)])
    row = panels(categorizer, shown, answer)
    pairs = [row[at : at + 2] for at in range(0, len(row), 2)]
    file = io.BytesIO()
    sheet(pairs, side_px=MANY_PX).save(file, "PNG")
    return file.getvalue()


def _opened(data: bytes, name: str, teller: Teller) -> torch.Tensor:
    try:
        with codec.decoded(data) as picture:
            return teller.square(picture)
    except codec.Undecodable as error:
        raise unreadable(name, error) from None


def _told(answer: PathAnswer) -> PhotoCategory:
    levels = [
        CategoryLevel(name=name, probability=round(probability, 6))
        for name, probability in zip(levels_of(answer.path), answer.level_probabilities, strict=True)
    ]
    return PhotoCategory(category=answer.answer, levels=levels, told=answer.told)
