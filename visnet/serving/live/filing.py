"""Have the feed take in what was accepted: changes written as batches into the inbox, and forgotten once served."""

import datetime
import time
from pathlib import Path

from visnet.errors import Conflict
from visnet.pipeline.reports import REPORTS
from visnet.serving.live.line import BATCH, Line
from visnet.serving.live.ranks import Ranks
from visnet.serving.live.store import LiveStore
from visnet.storage import atomic, locks

MOST = 5000  # changes of a batch
KEPT_S = 3600.0  # for which a change that a version has taken in can be asked after, and its photos by their old names
DEAD_S = 7 * 86400.0
SETTLE_S = 5.0  # from the end of the stage until DVC has noted what it read
STAGE = "raw_images"


def is_read(data: Path) -> bool:
    """Tell whether the line reads its inbox now, or did so just before.

    What is put there meanwhile has the stage read all of it once more; and what comes between its end and the moment
    at which DVC notes what it has read would stay out until the next batch.
    """
    artefact, report = data / STAGE, data.with_name(REPORTS.name) / f"{STAGE}.json"
    try:
        with locks.held(artefact, shared=True):
            pass
    except Conflict:
        return True
    try:
        return 0 <= time.time() - report.stat().st_mtime < SETTLE_S
    except FileNotFoundError:
        return False


def file(store: LiveStore, line: Line) -> int:
    """Write the changes that are visible into the feed's inbox, and return how many there were.

    A batch is given its name and its changes first, then written, then they are marked: after a kill it is written
    again, byte for byte the same.
    """
    count = 0
    while batch := _claimed(store):
        name, lines = batch
        scratch = line.inbox.with_name(f"{line.inbox.name}.arriving") / f".{name}{atomic.BUILDING}"
        scratch.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text("".join(f"{record}\n" for record in lines), encoding="utf-8")
        atomic.move(scratch, line.inbox / name)
        store.change("UPDATE changes SET filed = 1 WHERE file = ?", [(name,)])
        count += len(lines)
    return count


def take_in(store: LiveStore, ranks: Ranks, version: int) -> int:
    """Mark the changes that a version has, or has newer records than; return how many there were."""
    rows = store.read(
        "SELECT number, product_id, seq, updated_at, content FROM changes WHERE turn > 0 AND taken_s IS NULL"
    )
    taken = []
    for number, product_id, *rank in rows:
        known = ranks.of(product_id)
        if known is not None and known >= tuple(rank):
            taken.append((version, time.time(), number))
    if taken:
        store.change("UPDATE changes SET version = ?, taken_s = ? WHERE number = ? AND taken_s IS NULL", taken)
    return len(taken)


def forget(store: LiveStore) -> None:
    """Remove what was taken in a while ago and stands in the feed, and changes that died long ago."""
    now_s = time.time()
    old = store.read(
        "SELECT number FROM changes WHERE (filed = 1 AND taken_s < ?) OR (state = 'dead' AND accepted_s < ?)",
        now_s - KEPT_S,
        now_s - DEAD_S,
    )
    if not old:
        return
    store.change("DELETE FROM photos WHERE number = ?", old)
    store.change("DELETE FROM changes WHERE number = ?", old)
    store.change("DELETE FROM pictures WHERE picture NOT IN (SELECT picture FROM photos)")
    store.change("DELETE FROM vectors WHERE picture NOT IN (SELECT picture FROM photos)")


def _claimed(store: LiveStore) -> tuple[str, list[str]] | None:
    """Return the name and the lines of a batch that is to be written, None where nothing is."""
    begun = store.read(
        "SELECT file FROM changes WHERE filed = 0 AND file IS NOT NULL AND turn > 0 ORDER BY number LIMIT 1"
    )
    if begun:
        name = str(begun[0][0])
    else:
        wanted = store.read(
            "SELECT number, accepted_s FROM changes WHERE filed = 0 AND turn > 0 ORDER BY number LIMIT ?", MOST
        )
        if not wanted:
            return None
        first, at_s = wanted[0]
        at = datetime.datetime.fromtimestamp(at_s, datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
        name = BATCH.format(at=at, first=first)
        store.change("UPDATE changes SET file = ? WHERE number = ?", [(name, number) for number, _ in wanted])
    return name, [row[0] for row in store.read("SELECT record FROM changes WHERE file = ? ORDER BY number", name)]
