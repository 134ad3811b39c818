"""The batches of the change feed, a partition each, and the sensor of the folder that they come into."""

from pathlib import Path

import dagster as dg

from orchestration.bridge.dvc import Dvc
from orchestration.bridge.retry import retried
from orchestration.defs.automation import refresh, under_way
from orchestration.line import feed
from orchestration.line.policy import POOL, RETRY


@dg.asset(
    key=feed.ASSET,
    partitions_def=feed.BATCHES,
    backfill_policy=dg.BackfillPolicy.single_run(),  # Python and its libraries start once, however many batches
    description="A file of changes; materialize one to bring and check it once more. The next refresh takes it in.",
    group_name="visnet",
    kinds={"jsonl"},
    pool=POOL,  # DVC must not see the inbox change while a stage reads it
)
def feed_batches(context: dg.AssetExecutionContext, dvc: Dvc) -> None:
    """Bring and check the batches that are asked for, whether or not they are there."""
    batches = sorted(context.partition_keys)
    with retried(context, RETRY):
        dvc.command(context.run.run_id, "feed", *batches)
    for batch in batches:
        context.add_asset_metadata(feed.told(dvc.reports_path, batch), partition_key=batch)


@dg.sensor(
    job=refresh,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Refreshes when batches have come into the inbox, all of them at once. Off until it is switched on. "
    "Batches that lie elsewhere ([raw_images.feed] from) are brought by the refresh itself: see hourly_refresh.",
)
def feed_inbox(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Add a partition for each new batch and ask for one refresh; nothing while one is under way."""
    inbox = feed.read_inbox(Path.cwd())
    if inbox is None:
        return dg.SkipReason('the source is no feed: params.toml, [raw_images] source = "feed"')
    batches = inbox.batches()
    seen = feed.digest(batches)
    if not batches or seen == context.cursor:
        return dg.SkipReason(f"no new batch; {len(batches)} lie in {inbox.folder.name}")
    if run := under_way(context.instance, refresh.name):
        return dg.SkipReason(f"new batches wait for the refresh that is under way (run {run})")
    known = set(context.instance.get_dynamic_partitions(feed.ASSET.to_user_string()))
    new = [batch for batch in batches if batch not in known]
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"feed {seen}", tags={"visnet/batches_new": str(len(new))})],
        dynamic_partitions_requests=[feed.BATCHES.build_add_request(new)] if new else [],
        asset_events=[feed.arrived(batch, batches[batch].bytes) for batch in new],
        cursor=seen,
    )
