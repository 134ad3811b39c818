"""A table in an object store in few files again, while others write and read it: by one at a time, who holds a lease.

Several at once would each rewrite everything, and all but one for nothing. The commit itself is Lance's: it is refused
where rows that were rewritten have changed meanwhile, and then nothing has happened.
"""

import datetime
from dataclasses import dataclass

from lance.optimize import Compaction, CompactionOptions

from visnet.storage import lease
from visnet.storage.compaction import DELETED_SHARE
from visnet.storage.object_store import ObjectStore
from visnet.storage.table import Table
from visnet.storage.table_files import committing

LEASE = "compactor.lease"  # in the table's folder, where Lance does not look at it
KEPT_S = 600.0  # for which readers may go on with a version after it was replaced


@dataclass(frozen=True)
class Rewritten:
    """What a compaction did: files that it wrote together, into how many, and old versions that are gone."""

    files_before: int
    files: int
    versions_removed: int


def compact(table: Table, *, kept_s: float = KEPT_S, ttl_s: float = lease.TTL_S) -> Rewritten:
    """Write a table's small files together, then remove the versions that are older than `kept_s` seconds.

    `Conflict` when another compacts it, the lease was lost on the way, or rows of these files were changed meanwhile:
    then nothing has changed. What a killed writer left goes once it is seven days old: a younger file may be one's who
    is at work. ttl_s: seconds after which another may begin where this process has died.
    """
    with lease.held(ObjectStore(str(table.place)), LEASE, "a compaction", ttl_s) as held, committing(table.place):
        latest = table.opened()
        before = len(latest.get_fragments())
        options = CompactionOptions(materialize_deletions_threshold=DELETED_SHARE, num_threads=1)
        done = []
        for task in Compaction.plan(latest, options).tasks:
            held.check()
            done.append(task.execute(latest))
        held.check()
        if done:
            Compaction.commit(latest, done)
        held.check()
        stats = table.opened().cleanup_old_versions(older_than=datetime.timedelta(seconds=kept_s))
        return Rewritten(before, len(table.opened().get_fragments()), stats.old_versions)
