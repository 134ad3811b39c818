"""The commands of the keys that let a client of the service write."""

from typing import Annotated

import typer
from typer import Argument

keys = typer.Typer(help="The keys that let a client of the service write.", no_args_is_help=True)


@keys.command()
def add(name: Annotated[str, Argument(metavar="NAME", help="Whose key it is.")]) -> str:
    """Make a key, and print it: it is shown this once. A service that runs takes it at once."""
    from visnet.serving.app import keys

    return keys.add(name)


@keys.command(name="list")
def listed() -> str:
    """List the names of the keys, and when they were made."""
    from visnet.pipeline.reports import DATA
    from visnet.serving.app import keys

    there = [f"{name:<24} {created}" for name, created in keys.names()]
    return "\n".join(there) or f"no keys in {DATA / keys.FILE}; `visnet keys add NAME`"


@keys.command()
def remove(name: Annotated[str, Argument(metavar="NAME", help="Whose key it is.")]) -> None:
    """Remove a key: from now on it lets nobody write."""
    from visnet.serving.app import keys

    keys.remove(name)
