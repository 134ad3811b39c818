"""The application's own ways beside FastAPI's: documented problems, allowed methods, files that are asked for again."""

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from visnet.serving.app.answers.problem import Problem
from visnet.serving.app.problems import MEDIA, Refusal

PROBLEMS = (400, 401, 403, 404, 405, 408, 409, 413, 415, 421, 422, 429, 500, 503, 504)
OTHERS: dict[int | str, dict[str, Any]] = {status: {"model": Problem} for status in PROBLEMS}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
AGAIN = {"Cache-Control": "no-cache"}  # a name says nothing of the content: ask whether it is still the same


def of_type(*types: str) -> Callable[[Request], Awaitable[None]]:
    """Return what refuses a body of another media type than those that a route reads."""

    async def check(request: Request) -> None:  # what is no coroutine is handed to a thread, and waited for
        given = request.headers.get("content-type", "")
        if given and given.partition(";")[0].strip().lower() not in types:
            raise Refusal(415, f"a body of the type {given[:60]!r} is not read here; {' and '.join(types)} are")

    return check


class Api(FastAPI):
    """An application whose document has problems under the media type that they are given in."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        made = super().openapi()
        for operations in made["paths"].values():
            for operation in operations.values():
                for status, response in operation["responses"].items():
                    if status in map(str, PROBLEMS) and MEDIA not in response["content"]:
                        response["content"] = {MEDIA: next(iter(response["content"].values()))}
        return made


class Files(StaticFiles):
    """The page's files, by their ETag."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Answer with a file, or with 304."""
        answer = super().file_response(full_path, stat_result, scope, status_code)
        answer.headers.update(AGAIN)
        return answer


def allowed(app: FastAPI, scope: Mapping[str, Any]) -> str:
    """Return the methods that a path knows, as the header Allow has them."""
    whole = {**scope, "root_path": scope.get("app_root_path", "")}  # a mounted application was given the rest of it
    known = {method for method in METHODS for route in app.routes if _takes(route, {**whole, "method": method})}
    return ", ".join(sorted(known | {"HEAD"} if "GET" in known else known))


def _takes(route: BaseRoute, scope: dict[str, Any]) -> bool:
    if route.matches(scope)[0] is not Match.FULL:
        return False
    return scope["method"] == "GET" or not isinstance(route, Mount)
