"""What is served: back to an earlier version and forward again, or to what is checked out, while all else runs on."""

import dagster as dg
from pydantic import Field

from orchestration.bridge.dvc import Dvc
from orchestration.bridge.provenance import asset_key

PUBLISH = asset_key("publish")


class Version(dg.Config):
    """What `python -m visnet rollback` is told."""

    version: int = Field(default=0, description="Which version to serve; 0 = the one before")


# None is in the catalog's pool: who must go back cannot wait for a refresh to end; `deploy` is refused while a stage
# writes what it reads.
@dg.op(description="Serve an earlier version, at once; newer ones wait for roll_forward.")
def go_back(context: dg.OpExecutionContext, config: Version, dvc: Dvc) -> None:
    """Roll back, and note it beside the materializations of publish."""
    _tell(context, dvc, "rollback", *[str(config.version)] * bool(config.version))


@dg.op(description="Serve the newest version, and from now on each that is published.")
def go_forward(context: dg.OpExecutionContext, dvc: Dvc) -> None:
    """Roll forward, and note it likewise."""
    _tell(context, dvc, "roll-forward")


@dg.op(description="Serve what is checked out, where that is not served already.")
def bring(context: dg.OpExecutionContext, dvc: Dvc) -> None:
    """Deploy, and note it likewise."""
    _tell(context, dvc, "deploy")


def _tell(context: dg.OpExecutionContext, dvc: Dvc, *words: str) -> None:
    answer = " ".join(dvc.command(context.run_id, *words))
    context.log_event(dg.AssetObservation(PUBLISH, description=answer, metadata={"visnet": " ".join(words)}))


@dg.job(description="Serve an earlier version of the catalog, and hold it until roll_forward.")
def rollback() -> None:
    """Roll back."""
    go_back()


@dg.job(description="Serve the newest version again, and each that is published.")
def roll_forward() -> None:
    """Roll forward."""
    go_forward()


@dg.job(description="Serve what is checked out: after a clone and a pull, a checkout, a restore, an experiment.")
def deploy() -> None:
    """Deploy."""
    bring()


@dg.asset_check(
    asset=PUBLISH,
    name="served_is_checked_out",
    description="What is served is what is checked out, or a rollback holds it back; the job `deploy` mends it",
)
def served_is_checked_out(dvc: Dvc) -> dg.AssetCheckResult:
    """Ask `visnet versions --check`, which answers in a line."""
    try:
        answer, passed = "".join(dvc.command("", "versions", "--check")[-1:]), True
    except dg.Failure as failure:
        answer, passed = str(failure.description), False
    return dg.AssetCheckResult(passed=passed, description=answer, severity=dg.AssetCheckSeverity.WARN)
