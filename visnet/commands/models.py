"""The commands of models: which there are, how they compare, and what they learn from.

What a command does not need is not imported: torch and MLflow take seconds.
"""

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

import visnet


def _entries() -> list[str]:
    """List the zoo's files, since to ask the zoo itself imports torch."""
    return sorted(path.stem for path in (Path(visnet.__file__).parent / "zoo").glob("*.toml"))


def zoo() -> str:
    """List the models there are, with their sizes and losses."""
    from visnet import zoo

    return zoo.listing()


def experiment(
    names: Annotated[
        list[str] | None,
        Argument(metavar="NAME", autocompletion=_entries, help="A zoo entry, or the path of a .toml; see `zoo`."),
    ] = None,
    version: Annotated[list[int] | None, Option(min=1, help="Evaluate a registered version, too.")] = None,
    settings: Annotated[
        list[str] | None, Option("-S", metavar="STAGE.KEY=VALUE", help="Laid over params.toml.")
    ] = None,
    again: Annotated[bool, Option("--again", help="Also what was done before with the same inputs.")] = False,
) -> str:
    """Train and evaluate zoo entries beside the line, one run each."""
    from visnet.runs import experiment

    experiment.run(names or (), version or (), settings or (), again=again)
    return "Next       python -m visnet leaderboard         all runs in one table"


def leaderboard() -> str:
    """Compare all evaluated runs; writes reports/leaderboard.html and .csv."""
    from visnet.tracking import leaderboard

    frame = leaderboard.table()
    leaderboard.write(frame)
    return leaderboard.text(frame)


def promote(
    run: Annotated[
        str,
        Argument(metavar="RUN", help="A run id or its beginning, a version's number, or a config (its newest run)."),
    ],
) -> str:
    """Make a run's model champion, and have the line serve it."""
    from visnet.runs import experiment, runner
    from visnet.tracking import registry

    runner.read_params()  # in a folder where none can be served, no alias moves
    done = registry.promote(run)
    experiment.serve(int(str(done["version"])))
    before = done["champion_recall_at_1"]
    lines = f"Champion   version {done['version']} ({done['config']}), recall@1 {done['recall_at_1']:.4f}"
    if before is not None:
        lines += f"; before, version {done['champion_before']}: {before:.4f}"
    return f"{lines}\nNext       dvc repro                            the line takes this version, and serves it"


def sync_runs() -> str:
    """Tell MLflow what could not be told while it was gone."""
    from visnet.tracking import recorder

    return recorder.sync()


def triplets_view(
    split: Annotated[Literal["train", "validation", "test"], Option(help="Whose triplets.")] = "train",
    count: Annotated[int, Option(min=1, help="How many triplets.")] = 100,
    host: Annotated[str, Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Option(min=0, max=65535, help="The port to listen on; 0 takes any.")] = 8010,
    write: Annotated[
        Path | None, Option(metavar="PICTURE", help="Write a contact sheet instead of serving a page.")
    ] = None,
) -> str | None:
    """Judge sampled triplets by eye; marks go to exclusions.csv."""
    from visnet import review

    if write:
        return review.write(write, split, count)
    review.serve(split, count, host=host, port=port)
    return None
