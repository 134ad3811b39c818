"""What people did with answers, and how well the version that is served answers them."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from visnet.errors import NotReady
from visnet.evaluation.judged import KS
from visnet.pipeline.reports import DATA
from visnet.serving import catalog, told


def run(out: Path | None, data: Path = DATA) -> str:
    """Measure the judged pairs, and write the events to a file if one is named; `NotReady` where nothing was told."""
    events = told.read_events(data)
    if not len(events):
        raise NotReady("no event was told yet: open an answer on the page of `visnet serve`, or POST /v1/events")
    if out is not None:
        pq.write_table(events, out)
    kinds = events["kind"].to_pandas().value_counts()
    lines = [", ".join(f"{kind}: {count:,}" for kind, count in kinds.items())]
    with catalog.open_current(data) as version:
        rows, left_out = told.measured(events, version)
        number = version.number
    lines += ["", f"What version {number} finds of it, with 95 % intervals", _table(rows)]
    lines += [f"{count:,} events not measured: {why}" for why, count in left_out.items() if count]
    return "\n".join([*lines, *([f"{len(events):,} events are in {out}"] if out else [])])


def _table(rows: pd.DataFrame) -> str:
    names = [*(f"recall_at_{k}" for k in KS), "mrr"]
    heads = [*(f"recall@{k}" for k in KS), "MRR"]
    lines = [f"{'judged by':<10} {'queries':>8} {'pairs':>6}" + "".join(f"{head:>22}" for head in heads)]
    for _, row in rows.iterrows():
        cells = (
            "-" if pd.isna(row[name]) else f"{row[name]:.3f} ({row[f'{name}_low']:.3f}-{row[f'{name}_high']:.3f})"
            for name in names
        )
        lines.append(
            f"{row['judged']:<10} {row['queries']:>8,} {row['pairs']:>6,}" + "".join(f"{c:>22}" for c in cells)
        )
    return "\n".join(lines)
