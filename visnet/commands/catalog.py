"""The commands of the catalog: what is built and served, and answers from it.

What a command does not need is not imported: torch and MLflow take seconds.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

if TYPE_CHECKING:
    from visnet.serving.batch_of import Origin
    from visnet.serving.live.line import Line


def init(
    target: Annotated[
        str, Argument(metavar="FOLDER|TABLE|URL", help="Photos, a table of them (csv, tsv, parquet), or its address.")
    ],
    out: Annotated[Path, Option(help="What is written; what it was before is kept beside.")] = Path("params.toml"),
) -> str:
    """Look at what a shop has, and write the params.toml that suits it."""
    from visnet.commands import init

    return init.run(target, out)


def summary() -> str:
    """Say what is built here, how well it finds, and what to do next."""
    from visnet.commands import summary

    return summary.text()


def similar(
    photo: Annotated[Path, Argument(metavar="PHOTO", help="An image file.")],
    k: Annotated[int, Option("-k", min=1, help="How many products.")] = 8,
    category: Annotated[str | None, Option(help="Search in this category only.")] = None,
    box: Annotated[
        tuple[float, float, float, float] | None,
        Option(metavar="LEFT TOP WIDTH HEIGHT", help="The part of the photo to search for, in pixels."),
    ] = None,
    whole: Annotated[bool, Option("--whole", help="Search for the whole photo, whatever the localizer finds.")] = False,
    out: Annotated[Path, Option(help="The contact sheet.")] = Path("similar.png"),
) -> str:
    """Show the products of the catalog that are most like a photo."""
    from visnet.commands import similar

    return similar.answer(photo, k, category, box, out, whole)


def categorize(
    photos: Annotated[list[Path], Argument(metavar="PHOTO...", help="Image files.")],
    explain: Annotated[Path | None, Option(help="Draw where the model looked for each level, as this picture.")] = None,
) -> str:
    """Tell what photos show, level by level down the taxonomy."""
    from visnet.commands import categorize

    return categorize.run(photos, explain)


def serve(
    host: Annotated[str, Option(help="The address to answer at; others than this machine's open it to others.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, Option(min=0, max=65535, help="0 takes any that is free.")] = 8080,
    workers: Annotated[int, Option(min=1, max=256, help="How many processes; each holds the catalog.")] = 1,
    keep_queries: Annotated[
        int, Option(min=0, max=1_000_000, help="How many photos asked with are kept for permalinks; 0 keeps none.")
    ] = 10_000,
    allow_url_photos: Annotated[
        bool, Option("--allow-url-photos", help="Fetch photos that are given by an address of the public web.")
    ] = False,
    allow_host: Annotated[list[str] | None, Option(help="A further name to answer under, behind a proxy.")] = None,
    keys_for_reading: Annotated[bool, Option("--keys-for-reading", help="Answer nothing but health without a key.")] = (
        False
    ),
    *,
    searches_per_s: Annotated[
        float,
        Option(
            min=0.001,
            max=1_000_000,
            help="Searches by photo a second that one client may ask for; at once, those of 5 s.",
        ),
    ] = 100.0,
    writes_per_s: Annotated[
        float,
        Option(min=0.001, max=1_000_000, help="Products a second that one client may change; at once, those of 5 s."),
    ] = 200.0,
    log_format: Annotated[
        Literal["text", "json"],
        Option(envvar="VISNET_LOG_FORMAT", help="json: an object a line, one for each request among them."),
    ] = "text",
    follow: Annotated[str, Option(metavar="URL", help="Fetch versions from s3://BUCKET/FOLDER, and serve those.")] = "",
) -> None:
    """Answer photos over HTTP, with a page to search on, until Ctrl-C."""
    from visnet.serving.app import server
    from visnet.serving.app.settings import Settings

    settings = Settings(
        keep_queries=keep_queries,
        hosts=server.hosts(host, allow_host or []),
        keys_for_reading=keys_for_reading,
        searches_per_s=searches_per_s,
        writes_per_s=writes_per_s,
        remote=follow,
        line=_line(),
        origin=_origin(),
        url_photos=allow_url_photos,
        log_format=log_format,
        **server.pages_elsewhere(os.environ),
    )
    server.serve(settings, host, port, workers)


def _line() -> "Line | str":
    """Read where changes go, or say why none are taken."""
    from visnet.runs import runner
    from visnet.serving.live.line import OFF, Line

    if not runner.PARAMS.exists():
        return OFF
    try:
        return Line.of(runner.read_params(), str(runner.PARAMS))
    except ValueError as error:
        return str(error)


def _origin() -> "Origin | None":
    """Read where records come from, None where that cannot be said."""
    from visnet.runs import runner
    from visnet.serving.batch_of import Origin

    try:
        return Origin.of(runner.read_params(), str(runner.PARAMS))
    except ValueError:
        return None


def trace(product_id: Annotated[str, Argument(metavar="PRODUCT_ID", help="A product of the catalog.")]) -> str:
    """Say where a product's answers are from: record, photos, version, runs, data, changes."""
    from visnet.commands import trace

    return trace.run(product_id)


def events(
    out: Annotated[Path | None, Option(help="A parquet file to write them to.")] = None,
) -> str:
    """Say what people opened and bought of the answers, and how well the served version finds it."""
    from visnet.commands import events

    return events.run(out)


def versions(
    check: Annotated[bool, Option("--check", help="Say whether what is served is checked out; exit 2 if not.")] = False,
) -> str:
    """List the versions of the catalog that were published."""
    from visnet.serving import versions

    if check and (behind := versions.behind()):
        raise ValueError(behind)
    return versions.status() if check else versions.listing()


def deploy(
    to: Annotated[str, Option(metavar="URL", help="Then publish what is served to s3://BUCKET/FOLDER.")] = "",
) -> None:
    """Serve what is checked out: after a clone and `dvc pull`, a checkout, a restore."""
    from visnet.commands import deploy
    from visnet.storage import object_store

    if to:
        object_store.split(to)  # is refused before anything is done
    _switched(deploy.run())
    if to:
        from visnet.serving import remote

        print(remote.push(to), flush=True)


def rollback(
    version: Annotated[
        int | None, Argument(metavar="VERSION", help="Its number, see `versions`; if left out, the one before.")
    ] = None,
) -> None:
    """Serve an earlier version of the catalog, and hold it."""
    from visnet.serving import versions

    _switched(versions.rollback(version))


def roll_forward() -> None:
    """Serve the newest version again, and each that is published."""
    from visnet.serving import versions

    _switched(versions.roll_forward())


def compact(
    table: Annotated[
        str | None, Argument(metavar="URL", help="A table in an object store; if left out, all tables of the line.")
    ] = None,
    kept_s: Annotated[
        float, Option(min=0, help="With URL: seconds for which readers may go on with a version that was replaced.")
    ] = 600.0,
) -> str:
    """Write the tables' small files together, and remove what nobody reads."""
    from visnet.commands import compact

    return compact.text(compact.run()) if table is None else compact.shared(table, kept_s)


def verify() -> str:
    """Read all that stands on disk, and hold it against what was recorded of it."""
    from visnet.commands import verify
    from visnet.pipeline.reports import REPORTS
    from visnet.runs.console import Console

    return verify.run(Console("verify", REPORTS))


def duplicates_view(
    count: Annotated[int, Option(min=1, help="How many pairs.")] = 100,
    host: Annotated[str, Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Option(min=0, max=65535, help="The port to listen on; 0 takes any.")] = 8010,
) -> None:
    """Judge products that seem to be listed twice; decisions go to duplicates.csv."""
    from visnet import review

    review.serve_duplicates(count, host=host, port=port)


def quality_view(
    count: Annotated[int, Option(min=1, help="How many photos.")] = 100,
    host: Annotated[str, Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Option(min=0, max=65535, help="The port to listen on; 0 takes any.")] = 8010,
) -> None:
    """Judge photos that seem to mislead a search; decisions go to photo_quality.csv."""
    from visnet import review

    review.serve_quality(count, host=host, port=port)


def _switched(done: str) -> None:
    from visnet.tracking import serving_alias

    print(done, flush=True)
    if untold := serving_alias.tell():  # the switch is made, whatever comes of this
        print(untold, file=sys.stderr)
