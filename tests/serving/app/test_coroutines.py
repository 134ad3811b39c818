"""Requests are answered on the event's loop: work goes to the service's own threads, and to no others."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import APIRouter, routing
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import Match

from visnet.serving import app
from visnet.serving.app.server import application
from visnet.serving.app.settings import Settings

NAMES = [one.name for one in pkgutil.iter_modules(app.__path__, f"{app.__name__}.")]
ROUTERS = [found for name in NAMES if (found := getattr(importlib.import_module(name), "router", None)) is not None]
ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_whatever_is_called_for_a_request_is_a_coroutine(route: APIRoute) -> None:
    """FastAPI has a plain function run in a thread of its own pool, and the request wait for it."""
    assert [one for one in called(route.dependant) if not inspect.iscoroutinefunction(one)] == []


def test_all_routers_are_looked_at() -> None:
    assert len(ROUTERS) > 5
    assert all(isinstance(router, APIRouter) for router in ROUTERS)


def called(dependant: Dependant) -> Iterator[Callable[..., object]]:
    """Yield a route's function, and those that it depends on."""
    if dependant.call is not None:
        yield dependant.call
    for one in dependant.dependencies:
        yield from called(one)


def test_no_request_waits_while_what_a_route_takes_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is not safe where several applications of one process begin together: each may undo the other's silence."""
    service = application(Settings(data=tmp_path))
    made: list[str] = []
    before = routing.get_dependant
    monkeypatch.setattr(routing, "get_dependant", lambda **given: made.append(given["path"]) or before(**given))
    for path, method in (("/v1/search", "POST"), ("/healthz", "GET"), ("/", "GET"), ("/none", "GET")):
        scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
        assert any(route.matches(scope)[0] is Match.FULL for route in service.routes) == (path != "/none")
    assert made == []
