"""The application, and the process that runs it until it is told to stop."""

import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import cast

import torch
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from uvicorn.supervisors import Multiprocess

import visnet
from visnet.pipeline import budget
from visnet.pipeline.collector import settle
from visnet.serving import catalog
from visnet.serving.app import (
    catalog_routes,
    category_routes,
    duplicate_routes,
    event_routes,
    logs,
    metrics,
    pages,
    routes,
    trace_routes,
    write_routes,
)
from visnet.serving.app.api import OTHERS, Api, Files, allowed
from visnet.serving.app.guard import Door
from visnet.serving.app.metrics import Metrics
from visnet.serving.app.problems import document, refusal_of
from visnet.serving.app.settings import LOOPBACK, Settings, page_address
from visnet.serving.app.state import State
from visnet.serving.following import following
from visnet.serving.listening import in_each, taking_several

SETTINGS = "VISNET_SERVE"  # the environment variable by which further processes are told
PAGES = {"dagster_ui": "VISNET_DAGSTER_UI", "mlflow_ui": "VISNET_MLFLOW_UI"}  # of other servers, that links lead to
IDLE_S = 65  # after which a connection is closed: later than clients do, or a request of theirs meets the end
SWITCH_S = 0.0005  # after which a thread lets others run that wait for Python; its own default is ten times that
GRACE_S = 10  # for requests that are under way when the service is to stop


def application(settings: Settings, once_open: Callable[[], None] = lambda: None) -> FastAPI:
    """Return the service as an ASGI application; its lifespan opens what is served, and calls `once_open` then."""
    counts = Metrics()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.visnet = State(settings, counts)
        async with app.state.visnet.running():
            once_open()
            yield

    app = Api(
        title="visnet",
        version=visnet.__version__,
        description="Photos in, the most similar products of a shop's catalog out.",
        openapi_url="/v1/openapi.json",
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        responses=OTHERS,
    )
    routers = (
        routes.router,
        duplicate_routes.router,
        category_routes.router,
        write_routes.router,
        trace_routes.router,
        catalog_routes.router,
        event_routes.router,
        pages.health,
        pages.router,
    )
    for router in routers:
        app.include_router(router)
    app.mount("/static", Files(directory=pages.PAGE))
    for route in app.routes:  # else the first request waits while FastAPI makes what it takes of each route
        route.matches({"type": "http", "method": "GET", "path": "/no/such/page", "root_path": "", "headers": []})
    app.add_middleware(Door, settings=settings, metrics=counts)
    app.add_exception_handler(HTTPException, _problem)
    app.add_exception_handler(RequestValidationError, _problem)
    return app


async def _problem(request: Request, error: Exception) -> Response:
    refused = refusal_of(error)
    if refused.status == 405:
        refused.headers["Allow"] = allowed(cast(FastAPI, request.app), request.scope)
    return document(refused, request.state.request_id)


def from_environment() -> FastAPI:
    """Return the application of one of several processes."""
    prepare()
    settings = Settings.model_validate_json(os.environ[SETTINGS])
    logs.configure(settings.log_format)
    return application(settings, settle)


def prepare() -> None:
    """Set what holds for a whole process that serves.

    One thread for each of torch's operations: a service has several requests at a time instead, and where anything else
    works on the same cores, threads that wait for each other are many times slower than one. And the event's loop,
    which every request passes several times, waits less long for a thread that works in Python to let it go on.
    """
    torch.set_num_threads(1)
    sys.setswitchinterval(SWITCH_S)
    budget.keep_what_a_service_frees()


def serve(settings: Settings, host: str, port: int, workers: int) -> None:
    """Serve until SIGINT or SIGTERM, then end what is under way; port 0 takes any.

    `NotReady` says what to run when nothing is published; `ValueError` when the port cannot be had.
    """
    with following(settings.remote, settings.data, settings.pull_s):
        _serve(settings, host, port, workers)


def _serve(settings: Settings, host: str, port: int, workers: int) -> None:
    with catalog.open_current(settings.data) as version:
        number = version.number
    logs.configure(settings.log_format)
    with contextlib.ExitStack() as held:
        sockets = held.enter_context(taking_several(host, port) if workers == 1 else in_each(host, port))
        name = f"[{host}]" if ":" in host else host
        url = f"http://{name}:{sockets[0].getsockname()[1]}/"
        text = f"Version {number} of the catalog: {url}\nCtrl-C stops."
        logs.say(settings.log_format, text, version=number, url=url)
        options = {"log_level": "warning", "timeout_graceful_shutdown": GRACE_S, "server_header": False}
        options |= {"timeout_keep_alive": IDLE_S}
        options |= {"log_config": None} if settings.log_format == "json" else {}
        if workers == 1:
            prepare()
            config = uvicorn.Config(application(settings, settle), **options)  # type: ignore[arg-type]
            with contextlib.suppress(KeyboardInterrupt):  # the server has ended, and passes the signal on
                uvicorn.Server(config).run(sockets=sockets)
        else:
            shared = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="visnet-serve-")))
            os.environ[SETTINGS] = settings.model_copy(update={"rates": shared / "rates"}).model_dump_json()
            os.environ[metrics.SHARED] = str(shared)
            factory = f"{__name__}:{from_environment.__name__}"
            config = uvicorn.Config(factory, factory=True, workers=workers, **options)  # type: ignore[arg-type]
            Multiprocess(config, sockets=sockets).run()
        logs.say(settings.log_format, "Stopped.")


def pages_elsewhere(env: Mapping[str, str]) -> dict[str, str]:
    """Return where the environment says that Dagster's and MLflow's pages are, as settings; `ValueError` if nowhere."""
    found = {}
    for name, variable in PAGES.items():
        try:
            found[name] = page_address(env.get(variable, ""))
        except ValueError as error:
            raise ValueError(f"{variable}: {env[variable][:200]!r}: {error}") from None
    return found


def hosts(host: str, others: list[str]) -> tuple[str, ...]:
    """Return the names under which a service answers: loopback's where it is bound to that, any elsewhere."""
    return (*LOOPBACK, *others) if host in LOOPBACK else tuple(others)
