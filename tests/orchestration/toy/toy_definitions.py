"""The line's own assets and jobs on the toy's stages, with a job of its own, and more looks at dvc.lock."""

import time
from functools import partial
from pathlib import Path

import dagster as dg

from orchestration.bridge.dvc import Dvc
from orchestration.bridge.gates import judged
from orchestration.bridge.provenance import lock_sensor
from orchestration.defs import assets, automation, checks, experiments, feed, maintenance, versions

ROOT = Path(__file__).parent


@dg.op
def ring() -> None:
    time.sleep(1)


@dg.job
def bell() -> None:
    """Touches nothing of the catalog, and waits for nobody."""
    ring()


DVC = Dvc(root=str(ROOT), busy_wait_s=1)
EVERY_SECOND = {"minimum_interval_seconds": 1, "default_status": dg.DefaultSensorStatus.RUNNING}

defs = dg.Definitions(
    assets=[*assets.assets, experiments.experiments, feed.feed_batches],
    asset_checks=checks.GATES,
    jobs=[
        *(automation.refresh, automation.everything),
        *(maintenance.maintain, versions.rollback, versions.roll_forward, bell),
    ],
    sensors=[lock_sensor(ROOT, partial(judged, checks.GATES, DVC), **EVERY_SECOND)],
    resources={"dvc": DVC},
    executor=dg.in_process_executor,
)
