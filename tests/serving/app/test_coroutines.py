"""Requests are answered on the event's loop: work goes to the service's own threads, and to no others."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator

import pytest
from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from visnet.serving import app

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
