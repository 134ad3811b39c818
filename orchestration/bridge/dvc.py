"""The bridge between Dagster and DVC: a DVC stage as an asset, `dvc repro` as its materialization.

Nothing here knows what the stages do; any DVC project would do. Whoever runs a stage, Dagster or a shell, DVC does the
work, so both share one cache, one dvc.lock and one idea of what is up to date.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.bridge.commands import USERS, environment, mendable, reason_of
from orchestration.bridge.process import run
from orchestration.bridge.project import Stage, read_lock
from orchestration.bridge.provenance import asset_key, provenance
from orchestration.bridge.report import Metadata, changes, metadata
from orchestration.bridge.retry import retried
from orchestration.bridge.unreadable import Unreadable, read

BUSY = "is busy, it is being blocked by"
RAN = "ran"
SAID = {  # how DVC says, in its last lines, that a stage did not run
    "didn't change, skipping": "unchanged: skipped, nothing that it reads has changed",
    "is cached - skipping run": "restored from the cache: it ran before with the same inputs",
}
MOVES = 20  # how often a stage is run again because what it reads changed under it

Before = Callable[[dg.AssetExecutionContext, "Dvc"], Metadata]


class Dvc(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The DVC project that the assets stand for, and the `dvc` that runs it."""

    root: str
    reports: str = "reports"
    package: str = "visnet"  # whose `python -m` commands do what DVC does not
    busy_wait_s: float = 20.0  # before trying again while a shell's `dvc repro` holds the same files
    busy_tries: int = 90

    def repro(
        self, context: dg.AssetExecutionContext, stage: Stage, stages: Mapping[str, Stage]
    ) -> dg.MaterializeResult[None]:
        """Run one stage if anything that it reads has changed, and say what came of it.

        `stages` are those of the project as they were last read: each reading costs as much as a small stage.

        DVC notes what a stage has read when the stage has ended. If that changed meanwhile (a batch that came into the
        inbox), the note claims more than was read, so the stage is run again.
        """
        came = ""
        for turn in range(MOVES):
            before = stages[stage.name]
            made = self._repro(context, stage.name, ["--force"] * bool(turn))
            came = came if came == RAN else made
            stages = self.stages()
            rows = read_lock(stages.values())
            row = rows[stage.name]
            if made != RAN or before.locked_code_version(row) == before.code_version:
                break
            context.log.warning(f"{stage.name}: what it reads changed while it ran; running it again.")
        else:
            raise dg.Failure(
                f"{stage.name}: what it reads never stands still; stop what writes there and "
                f"run `dvc repro --single-item --force {stage.name}`",
                allow_retries=False,
            )
        shown = metadata(stage, row, self.reports_path)
        context.log.info(", ".join(filter(None, [f"{stage.name}: {came}", changes(shown) if came == RAN else ""])))
        return dg.MaterializeResult(
            data_version=dg.DataVersion(stage.data_version(row)),
            metadata={"dvc": came, **shown},
            tags=provenance(stages[stage.name], rows, stages),  # as it is now, not as when Dagster was loaded
        )

    def stages(self) -> Mapping[str, Stage]:
        """Read the stages as they are now; `dg.Failure` in one line where they cannot be read."""
        try:
            return read(Path(self.root))
        except Unreadable as error:
            raise dg.Failure(str(error), allow_retries=False) from None

    def dvc(self, run_id: str, *words: str) -> tuple[int, list[str]]:
        """Run `dvc WORDS`; wait while another DVC process holds the same files. Return its exit code and last lines."""
        command = [sys.executable, "-m", "dvc", *words]
        for _ in range(self.busy_tries):
            code, lines = run(command, cwd=Path(self.root), env=environment(run_id))
            if not code or not any(BUSY in line for line in lines):
                break
            dg.get_dagster_logger().warning(f"Another DVC process is at work; trying again in {self.busy_wait_s:g} s.")
            time.sleep(self.busy_wait_s)
        return code, lines

    def command(self, run_id: str, *words: str) -> list[str]:
        """Run `python -m PACKAGE WORDS`, return its last lines; `dg.Failure`, not to be retried if it exits with 2."""
        command = [sys.executable, "-m", self.package, *words]
        code, lines = run(command, cwd=Path(self.root), env=environment(run_id))
        if code:
            reason = reason_of(lines, code).removeprefix(f"{self.package} {words[0]}: ")
            raise dg.Failure(f"{' '.join(words)}: {reason}", allow_retries=code != USERS)
        return lines

    def _repro(self, context: dg.AssetExecutionContext, stage: str, options: Sequence[str]) -> str:
        code, lines = self.dvc(context.run.run_id, "--wait-for-lock", "repro", "--single-item", *options, stage)
        if code:
            raise dg.Failure(f"{stage}: {reason_of(lines, code)}", allow_retries=mendable(code, lines))
        return next((text for mark, text in SAID.items() if any(mark in line for line in lines)), RAN)

    @property
    def reports_path(self) -> Path:
        """The folder of the stages' reports."""
        return Path(self.root) / self.reports


def stage_asset(
    stage: Stage, before: Before | None = None, retry: dg.RetryPolicy | None = None, **look: Any
) -> dg.AssetsDefinition:
    """Make the asset of a stage; `look` (group, kinds, pool …) is all that is not read from the DVC project.

    `before` is done first: it may bring new input, and returns what the asset's page shows of that. `retry` says how
    often the stage is tried again where that may help.
    """

    @dg.asset(
        key=asset_key(stage.name),
        deps=[asset_key(name) for name in stage.reads],
        code_version=stage.code_version,
        description=stage.desc,
        **look,
    )
    def _materialize(context: dg.AssetExecutionContext, dvc: Dvc) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with retried(context, retry):
            stages = dvc.stages()  # what cannot be read is said before anything is brought
            brought = before(context, dvc) if before else {}
            made = dvc.repro(context, stage, dvc.stages() if before else stages)
        return made._replace(metadata={**brought, **(made.metadata or {})})

    return _materialize
