"""The command of the pipeline: run one stage, as DVC does."""

from collections.abc import Sequence
from typing import Annotated

from typer import Argument

from visnet.pipeline.stage import STAGES


def _stages() -> Sequence[str]:
    return STAGES


def run(
    stage: Annotated[str, Argument(metavar="STAGE", autocompletion=_stages, help=f"One of {', '.join(STAGES)}.")],
) -> None:
    """Run a stage with its table of params.toml (what `dvc repro` calls)."""
    from visnet.runs import runner

    runner.run(stage)
