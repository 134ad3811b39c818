"""One asset per stage of dvc.yaml; only what is promised of them is written here."""

from dataclasses import replace
from pathlib import Path

import dagster as dg

from orchestration.bridge.dvc import Dvc, stage_asset
from orchestration.bridge.report import Metadata
from orchestration.bridge.unreadable import read_or_recall
from orchestration.line import feed
from orchestration.line.policy import LATE, ON_NEW_DATA, POOL, RETRY
from orchestration.line.selection import refreshed

PROJECT = read_or_recall(Path.cwd())
STAGES = {
    name: replace(stage, desc=f"**Cannot be read: {PROJECT.problem}** Shown is what was read before. {stage.desc}")
    if PROJECT.problem
    else stage
    for name, stage in PROJECT.stages.items()
}


def bring(context: dg.AssetExecutionContext, dvc: Dvc) -> Metadata:
    """Bring the batches that lie elsewhere into the inbox, where params.toml says from where."""
    inbox = feed.read_inbox(Path(dvc.root))
    if inbox is None or not inbox.brought_from:
        return {}
    dvc.command(context.run.run_id, "feed")
    return feed.told(dvc.reports_path)


# One group: Dagster folds several away, and the line is short enough to be seen whole.
assets = [
    stage_asset(
        stage,
        before=bring if name == "raw_images" else None,
        group_name="visnet",
        kinds={"dvc", *stage.kinds},
        pool=POOL,
        retry=RETRY,
        freshness_policy=LATE.get(name),
        automation_condition=ON_NEW_DATA if name in refreshed(STAGES) else None,
    )
    for name, stage in STAGES.items()
]
