"""Another server's pages behind the guard: `python -m orchestration.ui.proxy URL --port N`, for MLflow's."""

import contextlib
from collections.abc import AsyncIterator

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from orchestration.ui.guard import guard, options

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "proxy-connection"}
OURS = {"host", "origin", "referer", "authorization"}  # the guard has seen to them; the server behind knows one name


def app(url: str, guarded: Middleware) -> Starlette:
    """Return the application that passes on what the guard lets through, both ways as it comes."""
    client = httpx.AsyncClient(timeout=None, trust_env=False)

    async def forward(request: Request) -> Response:
        headers = [(key, value) for key, value in request.headers.items() if key not in HOP | OURS]
        asked = client.build_request(
            request.method,
            httpx.URL(url).copy_with(raw_path=request.scope["raw_path"] + b"?" + request.scope["query_string"]),
            headers=headers,
            content=None if request.method in ("GET", "HEAD", "OPTIONS") else request.stream(),
        )
        try:
            answer = await client.send(asked, stream=True)
        except httpx.TransportError as error:
            return PlainTextResponse(f"{url} does not answer: {error or type(error).__name__}", status_code=502)
        response = StreamingResponse(_body(answer), status_code=answer.status_code)
        response.raw_headers = [(k.lower(), v) for k, v in answer.headers.raw if k.decode().lower() not in HOP]
        return response

    @contextlib.asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    return Starlette(routes=[Route("/{path:path}", forward, methods=METHODS)], middleware=[guarded], lifespan=life)


async def _body(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


def main() -> None:
    """Serve until interrupted."""
    parser = options(prog="python -m orchestration.ui.proxy", description=__doc__)
    parser.add_argument("url", help="where the server behind the guard answers")
    args = parser.parse_args()
    uvicorn.run(app(args.url, guard(args)), host=args.host, port=args.port, log_level="warning")


if __name__ == "__main__":
    main()
