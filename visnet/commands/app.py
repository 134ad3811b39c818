"""The command line: which commands there are, in the order and panels of `--help`."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

import visnet
from visnet.commands import catalog, feeds, keys, models, pipeline
from visnet.commands.exit_codes import Commands

PANELS: dict[str, tuple[Callable[..., Any], ...]] = {
    "The catalog": (
        catalog.init,
        catalog.summary,
        catalog.similar,
        catalog.categorize,
        catalog.serve,
        catalog.trace,
        catalog.events,
        catalog.versions,
        catalog.deploy,
        catalog.rollback,
        catalog.roll_forward,
        catalog.compact,
        catalog.verify,
        catalog.duplicates_view,
        catalog.quality_view,
    ),
    "Models": (
        models.zoo,
        models.experiment,
        models.leaderboard,
        models.promote,
        models.sync_runs,
        models.triplets_view,
    ),
    "The change feed": (feeds.feed, feeds.emit_feed),
    "The pipeline": (pipeline.run,),
}

app = typer.Typer(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,  # a fault of ours is Python's own traceback, which logs can be searched for
)
for panel, functions in PANELS.items():
    for function in functions:
        app.command(rich_help_panel=panel)(function)
app.add_typer(keys.keys, name="keys", rich_help_panel="The catalog")


def _version(asked: bool) -> None:
    if asked:
        print(f"visnet {visnet.__version__}")
        raise typer.Exit


@app.callback()
def whole(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Photos in, the most similar products out: what a person asks of a built catalog."""
