"""The API's route for copies: one new photo, or a product, against the whole catalog."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import torch
from fastapi import APIRouter, File, Form, Request, UploadFile
from starlette.responses import Response

from visnet.duplicates.one_photo import Copied
from visnet.duplicates.views import SIDE_PX, hashes
from visnet.embedding.crop_dataset import square
from visnet.photos import codec
from visnet.serving.app import state
from visnet.serving.app.answers.copies import Copy, DuplicatesAnswer
from visnet.serving.app.columns import ANYWHERE, Where
from visnet.serving.app.copies import AskedPicture, Copies
from visnet.serving.app.engine import Engine
from visnet.serving.app.problems import Refusal, unreadable
from visnet.serving.app.routes import FORM
from visnet.serving.app.search import NO_TEXT, photo_url
from visnet.serving.app.state import State
from visnet.serving.app.steps import Question

router = APIRouter(prefix="/v1", tags=["search"])
OFF = "this version has no hashes of its photos: set enabled = true in duplicates.toml, then run `dvc repro`"


@router.post("/duplicates", response_model=DuplicatesAnswer, dependencies=[FORM])
async def duplicates(
    request: Request,
    *,
    photo: Annotated[list[UploadFile], File(description="a photo")] = [],  # noqa: B006
    product_id: Annotated[str | NO_TEXT, Form(description="a product of the catalog, instead of a photo")] = None,
) -> Response:
    """Find the products that show the same picture as a photo: the same file, or a copy of it, however it was changed.

    The rule is that by which the whole catalog is searched for double listings: what is alike by its embedding or its
    perceptual hash, and the nearest products, is laid on the photo. Another colour of the thing is no copy.
    """
    there = state.of(request)
    if len(photo) + (product_id is not None) != 1:
        raise Refusal(400, "wanted is either one photo, or the product_id of a product of the catalog")
    async with there.engines.lease() as engine:
        copies = engine.copies
        if copies.rule is None:
            raise Refusal(409, OFF)
        if product_id is None:
            data = await photo[0].read()
            picture, small = await there.decoders.run(_opened, data, engine)
            vector, hashed = await asyncio.gather(engine.embed([picture]), there.decoders.run(hashes, small[None]))
            asked = [AskedPicture(small, vector, hashed[0])]
            names, where = list[str | None]([None]), ANYWHERE
        else:
            rows = engine.current.rows(product_id)
            asked = [await there.reading.run(copies.asked, row) for row in rows.tolist()]
            names = [engine.current.photo_id(row) for row in rows.tolist()]
            where = Where(str(engine.current.said("category", rows[:1])[0]))
        found = await asyncio.gather(*(_copies(there, engine, copies, one, where) for one in asked))
        told = _told(engine, {name: copied for name, (copied, _) in zip(names, found, strict=True)})
    answer = DuplicatesAnswer(duplicates=told, compared=sum(count for _, count in found), lineage=engine.lineage)
    return Response(answer.model_dump_json(), media_type="application/json")


def _opened(data: bytes, engine: Engine) -> tuple[torch.Tensor, torch.Tensor]:
    """Decode a photo: as the network takes it, and as it is compared."""
    try:
        with codec.decoded(data) as picture:
            return engine.square(picture, None), square(picture, SIDE_PX)
    except codec.Undecodable as error:
        raise unreadable("photo", error) from None


async def _copies(
    there: State, engine: Engine, copies: Copies, asked: AskedPicture, where: Where
) -> tuple[list[Copied], int]:
    """Hold one photo against all: those that may be copies, and the nearest products."""
    assert copies.rule is not None
    nearest: list[int] = []
    if copies.rule.nearest:
        (ranking,) = await engine.rank(Question(asked.vector, where, asked.row, copies.rule.nearest))
        nearest = ranking.row.tolist()
    return await there.reading.run(copies.of, asked, nearest)


def _told(engine: Engine, found: Mapping[str | None, Sequence[Copied]]) -> list[Copy]:
    """Tell of each product the photo for which it is surest, whichever photo was asked with."""
    every = sorted(((one, of) for of, copied in found.items() for one in copied), key=lambda pair: -pair[0].score)
    told: dict[str, Copy] = {}
    for one, of in every:
        row = np.array([one.row])
        (product_id,), (category,) = (engine.current.said(name, row) for name in ("product_id", "category"))
        photo_id = engine.current.photo_id(one.row)
        copy = Copy(
            product_id=product_id,
            photo_id=photo_id,
            photo_url=photo_url(photo_id),
            category=category,
            relation=one.relation,
            score=one.score,
            found_by=one.found_by,
            of=of,
        )
        told.setdefault(str(product_id), copy)
    return list(told.values())
