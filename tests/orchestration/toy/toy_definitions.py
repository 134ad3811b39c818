"""What Dagster needs for any DVC project: an asset per stage, the `dvc` resource, an eye on dvc.lock."""

from pathlib import Path

import dagster as dg

from orchestration.dvc import Dvc, gate, lock_sensor, stage_asset
from orchestration.project import read_project

ROOT = Path(__file__).parent

defs = dg.Definitions(
    assets=[stage_asset(stage, kinds={"dvc"}) for stage in read_project(ROOT).values()],
    asset_checks=[gate("photos", "lost_share", "max", "Few enough photos are lost")],
    sensors=[lock_sensor(ROOT, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)],
    resources={"dvc": Dvc(root=str(ROOT), grace_s=5, busy_wait_s=1)},
    executor=dg.in_process_executor,
)
