"""Who may do what, and how often: keys and rates, before a request is read."""

import math

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from visnet.serving.app.keys import Keys
from visnet.serving.app.problems import Refusal
from visnet.serving.app.rates import Rate
from visnet.serving.app.settings import Settings

WORKING = (  # what takes a network's time
    "/v1/search", "/v1/compare", "/v1/duplicates", "/v1/queries/", "/v1/categorize",
)  # fmt: skip
TRACE = "/trace"  # of a product: reads tables, and is counted with the searches of a client
HEALTH = ("/healthz", "/readyz", "/metrics")
ASKS = {"WWW-Authenticate": 'Bearer realm="visnet"'}
HOW = "send a key as `Authorization: Bearer vn_…`; `python -m visnet keys add NAME` makes one"


class Admission:
    """Judges requests by their method, path and headers."""

    def __init__(self, settings: Settings) -> None:
        self._keys, self._for_reading = Keys(settings.data), settings.keys_for_reading
        files = (None if settings.rates is None else settings.rates / f"{of}.sqlite" for of in ("reads", "writes"))
        self._reads, self._writes = map(Rate, (settings.searches_per_s, settings.writes_per_s), files)

    def check(self, scope: Scope, headers: Headers) -> None:
        """Refuse with 401, 403 or 429; note in the request's state who holds the key."""
        path, client = own_path(scope), _address(scope)
        writes = _is_of_writers(scope["method"], path)
        if writes or (self._for_reading and path not in HEALTH):
            scope["state"]["holder"] = self._holder(headers)
        if writes:
            _wait(self._writes.wait_s(f"{scope['state']['holder']} {client}"), "writes")
        elif path.startswith(WORKING) or path.endswith(TRACE):
            _wait(self._reads.wait_s(client), "searches")

    def owe(self, scope: Scope, count: int) -> None:
        """Count further writes of a request."""
        self._writes.owe(f"{scope['state']['holder']} {_address(scope)}", count)

    def _holder(self, headers: Headers) -> str:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Refusal(401, f"this needs a key; {HOW}", ASKS)
        holder = self._keys.holder(key.strip())
        if holder is None:
            raise Refusal(403, "the key is not known here, or no longer", ASKS)
        return holder


def own_path(scope: Scope) -> str:
    """Return the path of a request below where the application is mounted, as its routes have it."""
    root, path = scope.get("root_path", "").rstrip("/"), str(scope["path"])
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


async def check_holder(request: Request) -> None:
    """Refuse a request that nobody has been found to hold a key for, whatever its path looked like."""
    if not getattr(request.state, "holder", ""):
        raise Refusal(401, f"this needs a key; {HOW}", ASKS)


def _is_of_writers(method: str, path: str) -> bool:
    """Tell whether a request changes the catalog, or asks what became of a change; methods of no route do neither."""
    if method in ("PUT", "DELETE"):
        return path.startswith("/v1/products/")
    return (method, path) == ("POST", "/v1/products:batch") or (method == "GET" and path.startswith("/v1/changes/"))


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _wait(wait_s: float, what: str) -> None:
    if wait_s > 0:
        again = {"Retry-After": str(math.ceil(wait_s))}
        raise Refusal(429, f"more {what} came from there than are allowed; try again in {math.ceil(wait_s)} s", again)
