"""What Dagster needs for any DVC project: an asset per stage, the `dvc` resource, an eye on dvc.lock."""

import time
from pathlib import Path

import dagster as dg

from orchestration.dvc import Dvc, gate, stage_asset
from orchestration.policy import POOL
from orchestration.project import read_project
from orchestration.provenance import lock_sensor

ROOT = Path(__file__).parent


@dg.op
def ring() -> None:
    time.sleep(1)


@dg.job
def bell() -> None:
    """Touches nothing of the catalog, and waits for nobody."""
    ring()


defs = dg.Definitions(
    assets=[stage_asset(stage, kinds={"dvc"}, pool=POOL) for stage in read_project(ROOT).values()],
    asset_checks=[gate("photos", "lost_share", "max", "Few enough photos are lost")],
    jobs=[bell],
    sensors=[lock_sensor(ROOT, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)],
    resources={"dvc": Dvc(root=str(ROOT), grace_s=5, busy_wait_s=1)},
    executor=dg.in_process_executor,
)
