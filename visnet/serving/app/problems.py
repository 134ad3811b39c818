"""Errors as problem documents (RFC 9457): what was wrong and what is allowed, and never how the machine is laid out."""

import http
import logging
from collections.abc import Mapping

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from visnet import errors
from visnet.photos.codec import Undecodable
from visnet.serving.app.answers.problem import Problem
from visnet.serving.app.logs import notes

log = logging.getLogger("visnet.serving")
MEDIA = "application/problem+json"
AGAIN_S = 1  # after how many seconds one who was turned away may come again
READ = "JPEG, PNG, WebP, GIF, AVIF, BMP, TIFF and JPEG 2000 are read"
NOTHING_SERVED = "no version of the catalog is ready to answer yet"
# What pydantic calls values of the right kind beyond their bounds; whatever else it refuses is malformed.
BEYOND = {"greater_than_equal", "greater_than", "less_than_equal", "less_than", "finite_number"}
BEYOND |= {"string_too_long", "string_too_short", "too_long", "too_short", "literal_error"}


class Refusal(Exception):
    """A request that is not answered: a status, and what was wrong and what is allowed, in a line."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})


def busy(detail: str) -> Refusal:
    """Return the refusal of who should come again in a moment."""
    return Refusal(503, detail, {"Retry-After": str(AGAIN_S)})


def too_long(most: int, *, unread: bool = False) -> Refusal:
    """Return the refusal of too many bytes; unread: the rest of a request's body is not read."""
    headers = {"Connection": "close"} if unread else {}
    return Refusal(413, f"the photos of a request may have {most:,} bytes together", headers)


def unreadable(name: str, error: Undecodable) -> Refusal:
    """Return the refusal of bytes that are no photo, or one too large."""
    if isinstance(error, errors.TooLarge):
        return Refusal(413, f"{name}: {error}")
    return Refusal(415, f"{name}: {error}; {READ}")


def refusal_of(error: Exception) -> Refusal:
    """Return what is answered to an error; what is a fault of ours is logged, and said without its reason."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        if isinstance(error.__cause__, Refusal):  # while a form was read
            return error.__cause__
        said = http.HTTPStatus(error.status_code).description or "it cannot be answered"
        detail = error.detail if error.status_code == 400 else said
        return Refusal(error.status_code, str(detail), error.headers)
    if isinstance(error, ClientDisconnect):
        return Refusal(400, "the request was broken off")
    if isinstance(error, errors.NotFound):
        return Refusal(404, str(error))
    if isinstance(error, TimeoutError):
        return busy("it took too long; others are at work")
    if isinstance(error, MemoryError):
        log.error("out of memory: %s", error)
        return busy("this machine has too little memory for that photo just now")
    if isinstance(error, errors.NotReady | errors.Damaged):
        log.error("%s", error)
        return busy(NOTHING_SERVED)
    of = notes()
    log.error("request %s failed", "" if of is None else of.request_id, exc_info=error)
    return Refusal(500, "a fault of the service's own; its log has the request's id")


def document(refused: Refusal, request_id: str) -> Response:
    """Return the answer to a refused request."""
    title = http.HTTPStatus(refused.status).phrase
    said = Problem(title=title, status=refused.status, detail=refused.detail, request_id=request_id)
    headers = {**refused.headers, "Cache-Control": "no-store"}
    return Response(said.model_dump_json(), refused.status, headers=headers, media_type=MEDIA)


def _invalid(error: RequestValidationError) -> Refusal:
    first = error.errors()[0]
    where = ".".join(part for part in map(str, first["loc"][1:]) if "[" not in part) or "request"  # of a union's parts
    return Refusal(422 if first["type"] in BEYOND else 400, f"{where}: {first['msg']}")
