"""Bring the change feed's new batches into the inbox, and write the synthetic shop as a feed."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from visnet.pipeline import stage as stages
from visnet.pipeline.reports import REPORTS, write_report
from visnet.runs import runner
from visnet.runs.console import Console
from visnet.sources.changefeed import inbox
from visnet.stages.raw_images import Params
from visnet.synthetic.feed import hours, write
from visnet.synthetic.trade import Habits

_SAID = ("new", "records", "upserts", "deletes", "dead")


def bring(names: Sequence[str] = ()) -> str:
    """Bring the feed's new batches (or those named) into the inbox, write reports/feed.json, and say what came.

    Errors: `ValueError` in one line, when the line reads no feed or the feed is not there.
    """
    params = stages.parse("raw_images", runner.read_params().get("raw_images", {}), str(runner.PARAMS))
    if not isinstance(params, Params) or params.source != "feed":
        raise ValueError(f'{runner.PARAMS}: [raw_images] source: "feed" is wanted, since this brings its batches')
    feed, folder = params.own, Path(params.metadata)
    report = inbox.bring(feed.origin, feed.pattern, folder, names, feed.limits(), log=Console("feed", REPORTS))
    REPORTS.mkdir(parents=True, exist_ok=True)
    write_report("feed", report)
    lines = [f"Feed       {folder}: {report['batches']} batches; " + ", ".join(f"{report[k]} {k}" for k in _SAID)]
    lines += [f"           {d['batch']} line {d['line']}: {d['reason']}" for d in report["dead_letters"][:5]]
    if report["new"]:
        lines.append("Next       make refresh                         takes them into what is served")
    return "\n".join(lines)


def emit(out: Path, habits: Habits, count: int, first: int = 0) -> str:
    """Write `count` hours of the synthetic shop's feed under `out`, from the hour `first` on, and say what is there."""
    records = photos = 0
    log = Console("emit-feed", REPORTS)
    for hour in itertools.islice(hours(habits), first, first + count):
        write(out, habits, hour, log=log)
        records, photos = records + len(hour.lines), photos + len(hour.written)
    return f"Feed       {out}/batches: {records} records, {photos} photos; {len(hour.items)} products after {hour.name}"
