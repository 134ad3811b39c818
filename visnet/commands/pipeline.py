"""The command of the pipeline: run one stage, as DVC does."""

from collections.abc import Sequence
from typing import Annotated

from typer import Argument

from visnet.pipeline import collector
from visnet.pipeline import stage as stages


def _stages() -> Sequence[str]:
    return stages.STAGES


def run(
    stage: Annotated[
        str, Argument(metavar="STAGE", autocompletion=_stages, help=f"One of {', '.join(stages.STAGES)}.")
    ],
) -> None:
    """Run a stage with its table of params.toml (what `dvc repro` calls)."""
    with collector.importing():
        from visnet.runs import runner

        stages.module(stage)
    runner.run(stage)
