"""The jobs a person starts, the nightly one, and the eye on dvc.lock."""

from pathlib import Path

import dagster as dg

from orchestration.dvc import lock_sensor

LINE = dg.AssetSelection.all() - dg.AssetSelection.assets("experiments")  # these stand beside it
REINDEXED = dg.AssetSelection.assets("raw_images", "crops", "catalog_embeddings", "knn_results")
# What is learnt from the crops that are there: a training fetches no photo, so two trainings can be compared.
RETRAINED = dg.AssetSelection.assets("triplets", "trained_model", "catalog_embeddings", "knn_results", "evaluation")

reindex = dg.define_asset_job(
    "reindex", REINDEXED, description="Bring the index up to date with the catalog, with the model that is there."
)
retrain = dg.define_asset_job(
    "retrain", RETRAINED, description="Learn a model from the crops that are there, index and evaluate with it."
)
everything = dg.define_asset_job("everything", LINE, description="The whole line; what is up to date is skipped.")

nightly_reindex = dg.ScheduleDefinition(
    name="nightly_reindex",
    target=reindex,
    cron_schedule="0 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Every night at three, UTC. Off until it is switched on.",
)

# On from the start: it starts nothing, and without it the UI would not know what `dvc repro` did in a shell.
shell_runs = lock_sensor(
    Path.cwd(),
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Shows what DVC did in a shell (repro, pull, checkout) as materializations.",
)
