"""Going back to an earlier version of what is served, and forward again, while whatever else runs on."""

import dagster as dg
from pydantic import Field

from orchestration.dvc import Dvc
from orchestration.provenance import asset_key

PUBLISH = asset_key("publish")


class Version(dg.Config):
    """What `python -m visnet rollback` is told."""

    version: int = Field(default=0, description="Which version to serve; 0 = the one before")


# Neither is in the catalog's pool: who must go back cannot wait for a refresh to end, and reads and writes no table.
@dg.op(description="Serve an earlier version, at once; newer ones wait for roll_forward.")
def go_back(context: dg.OpExecutionContext, config: Version, dvc: Dvc) -> None:
    """Roll back, and note it beside the materializations of publish."""
    _tell(context, dvc, "rollback", *[str(config.version)] * bool(config.version))


@dg.op(description="Serve the newest version, and from now on each that is published.")
def go_forward(context: dg.OpExecutionContext, dvc: Dvc) -> None:
    """Roll forward, and note it likewise."""
    _tell(context, dvc, "roll-forward")


def _tell(context: dg.OpExecutionContext, dvc: Dvc, *words: str) -> None:
    said = " ".join(dvc.command(context.run_id, *words))
    context.log_event(dg.AssetObservation(PUBLISH, description=said, metadata={"visnet": " ".join(words)}))


@dg.job(description="Serve an earlier version of the catalog, and hold it until roll_forward.")
def rollback() -> None:
    """Roll back."""
    go_back()


@dg.job(description="Serve the newest version again, and each that is published.")
def roll_forward() -> None:
    """Roll forward."""
    go_forward()
