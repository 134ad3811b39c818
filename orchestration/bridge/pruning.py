"""Old runs deleted with their events, through Dagster's own API; what the state of today rests on stays.

Dagster's `retention` is of ticks: runs, and the events that they wrote, are kept for ever. Deleting a run deletes its
materializations, too; an asset whose newest one went would count as never made, and a check as never evaluated.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

import dagster as dg
from dagster import AssetCheckKey, AssetKey, AssetRecordsFilter, DagsterEventType, DagsterInstance

ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
AT_ONCE = 200
EVENTS = {
    DagsterEventType.ASSET_MATERIALIZATION: DagsterInstance.fetch_materializations,
    DagsterEventType.ASSET_OBSERVATION: DagsterInstance.fetch_observations,
}


def prune(
    instance: DagsterInstance,
    before: datetime,
    checks: Iterable[AssetCheckKey],
    say: Callable[[str], object] = lambda line: None,
) -> int:
    """Delete the runs that ended before a time and that nothing of now rests on; return how many went.

    checks: those whose newest evaluation stays. A run goes whole, so a kill between two of them leaves nothing half.
    """
    kept, gone = rested_on(instance, checks), 0
    for run_id in list(_ended(instance, before)):
        if run_id in kept:
            continue
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        _delete_file(instance, run_id)
        gone += 1
        if gone % AT_ONCE == 0:
            say(f"{gone} runs deleted")
    return gone


def rested_on(instance: DagsterInstance, checks: Iterable[AssetCheckKey]) -> set[str]:
    """Return the runs with the newest event of an asset, of one of its partitions, or of a check."""
    keys = list(instance.all_asset_keys())
    found: set[str] = set()
    for record in instance.get_asset_records(keys):
        entry = record.asset_entry
        newest = entry.last_materialization_record, entry.last_observation_record
        found |= {one.run_id for one in newest if one is not None}
    for key in keys:
        found |= set(_of_partitions(instance, key))
    evaluated = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(checks))
    return found | {one.run_id for one in evaluated.values()}


def _of_partitions(instance: DagsterInstance, key: AssetKey) -> Iterator[str]:
    """Yield the runs with the newest event of each partition of an asset."""
    for kind, fetch in EVENTS.items():
        newest = instance.event_log_storage.get_latest_storage_id_by_partition(key, kind)
        ids = sorted(newest.values())
        for at in range(0, len(ids), AT_ONCE):
            wanted = AssetRecordsFilter(asset_key=key, storage_ids=ids[at : at + AT_ONCE])
            for one in fetch(instance, wanted, limit=AT_ONCE).records:
                yield one.run_id


def _ended(instance: DagsterInstance, before: datetime) -> Iterator[str]:
    """Yield the runs that ended before a time, the oldest first."""
    wanted, cursor = dg.RunsFilter(statuses=ENDED, updated_before=before), None
    while records := instance.get_run_records(wanted, limit=AT_ONCE, cursor=cursor, ascending=True):
        yield from (record.dagster_run.run_id for record in records)
        cursor = records[-1].dagster_run.run_id


def _delete_file(instance: DagsterInstance, run_id: str) -> None:
    """Remove the file of a run's events that SQLite leaves behind, empty; PostgreSQL has none."""
    path_of = getattr(instance.event_log_storage, "path_for_shard", None)
    if path_of is not None:
        for name in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path_of(run_id)}{name}").unlink()
