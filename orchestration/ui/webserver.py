"""Dagster's webserver behind the guard: `python -m orchestration.ui.webserver WORKSPACE --port N`.

`dagster-webserver` takes mutations by GET, from any page and under any name. It has no option against that.
"""

from pathlib import Path

import uvicorn
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.version import __version__
from dagster_webserver.webserver import DagsterWebserver
from starlette.middleware import Middleware

from orchestration.ui.guard import guard, options

POLL_MS = 2000  # how often a page asks what is new
STATEMENT_TIMEOUT_MS, POOL_RECYCLE_S, POOL_OVERFLOW = 15_000, 3600, 20  # dagster-webserver's own


def main() -> None:
    """Serve Dagster's pages until interrupted."""
    parser = options(prog="python -m orchestration.ui.webserver", description=__doc__)
    parser.add_argument("workspace", type=Path, help="the YAML file that says where the code server answers")
    args = parser.parse_args()

    class Webserver(DagsterWebserver):  # type: ignore[type-arg]
        def build_middleware(self) -> list[Middleware]:
            return [guard(args), *super().build_middleware()]

    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(STATEMENT_TIMEOUT_MS, POOL_RECYCLE_S, POOL_OVERFLOW)
        target = WorkspaceFileTarget([str(args.workspace)])
        with WorkspaceProcessContext(instance, target, version=__version__) as context:
            app = Webserver(context, "", POLL_MS).create_asgi_app()
            uvicorn.run(app, host=args.host, port=args.port, log_level="warning")


if __name__ == "__main__":
    main()
