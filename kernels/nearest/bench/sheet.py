"""What is printed and what is kept: a table for people, the same as JSON, raw times included."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kernels.nearest.bench.measure import PeerRow, WorkRow
from kernels.nearest.bench.roofs import Roofs

SAME = 0.9995  # an agreement that prints as 1.000


def lines(row: WorkRow) -> list[str]:
    """Tell one work: a title, our line, a line for each peer, and one for the best of them."""
    title = row.work.title + (f" (asked for {row.asked_g:,} rows)" if row.asked_g != row.work.g else "")
    told = [title + (f"   target: {row.work.target}" if row.work.target else "")]
    if row.status != "measured":
        told.append(f"  nearest: {row.status}")
    if row.build_s is not None and row.copy_bytes is not None:
        told.append(f"  gallery: {row.scan} copy of {row.copy_bytes / 1e6:,.1f} MB in {row.build_s:.3f} s")
    if row.ours_s:
        told.append(_ours(row))
    told += [f"    {one.took_ms:9.3f} ms  {one.launches:4} x  {one.name}" for one in row.kernels]
    told += [_peer(peer) for peer in row.peers]
    if (best := row.best_peer) is not None and len(row.peers) > 1:
        told.append(f"  best peer: {best.peer}, {best.ratio:.2f} times our time")
    for stream in row.served:
        rates = f"{stream.offered_per_s:,.0f}/s arrive, {stream.answered_per_s:,.0f}/s answered"
        times = f"p50 {stream.p50_ms:.1f} ms, p99 {stream.p99_ms:.1f} ms, worst {stream.worst_ms:.1f} ms"
        told.append(f"  {rates}: {times}, {stream.queries / stream.batches:.1f} queries a batch")
    return told


def k_lines(rows: Sequence[WorkRow]) -> list[str]:
    """Relate k 1000 to k 10 of works that are otherwise one: our times, and those of each peer."""
    timed = {(*_but_k(row), row.work.k): row for row in rows if row.ours_s}
    told = []
    for key, wide in timed.items():
        narrow = timed.get((*key[:-1], 10))
        if key[-1] != 1000 or narrow is None:
            continue
        parts = [f"nearest {statistics.median(wide.ours_s) / statistics.median(narrow.ours_s):.2f}"]
        theirs = {peer.peer: peer for peer in narrow.peers if peer.peer_s}
        for peer in wide.peers:
            if peer.peer_s and peer.peer in theirs:
                ratio = statistics.median(peer.peer_s) / statistics.median(theirs[peer.peer].peer_s)
                parts.append(f"{peer.peer} {ratio:.2f}")
        told.append(f"time of k 1000 over k 10, Q {wide.work.q} G {wide.work.g:,}: " + ", ".join(parts))
    return told


def roof_line(roofs: Roofs) -> str:
    """Tell the roofs."""
    rates = ", ".join(f"{name} matmul {rate / 1e12:.2f} TFLOP/s" for name, rate in roofs.flop_per_s.items())
    return f"measured roofs: copy {roofs.copy_bytes_per_s / 1e9:.1f} GB/s, {rates}"


def write(path: Path, machine: dict[str, Any], roofs: Roofs, rows: Sequence[WorkRow], **more: Any) -> None:
    """Write everything as JSON, whole or not at all."""
    works = [
        {**asdict(row), "peers": [{**asdict(peer), "ratio": peer.ratio} for peer in row.peers], "ours_s": row.ours_s}
        for row in rows
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(
        json.dumps({"machine": machine, **more, "roofs": asdict(roofs), "works": works}, indent=1) + "\n",
        encoding="utf-8",
    )
    part.replace(path)


def _ours(row: WorkRow) -> str:
    median_s = statistics.median(row.ours_s)
    told = f"  {'nearest':<26} {_times(row.ours_s)}   {row.work.q / median_s:,.0f} queries/s"
    if row.reached is not None:
        told += f", {row.reached.bytes_per_s / 1e9:,.1f} GB/s, {row.reached.flop_per_s / 1e12:.3f} TFLOP/s"
        told += f", {row.reached.share:.2f} of {row.reached.roof}"
    return told + ("" if row.proven is None else f", proven {row.proven:.3f}")


def _peer(row: PeerRow) -> str:
    if row.status != "measured" or row.ratio is None or row.agree is None:
        return f"  {row.peer:<26} {row.status}"
    told = f"  {row.peer:<26} {_times(row.peer_s)}   {row.ratio:6.2f} times our time   "
    told += f"{'agree' if row.exact else 'recall'} {row.agree:.3f}"
    told += "  DISAGREES" if row.exact and row.agree < SAME else ""
    return told + f"   {len(row.peer_s)} pairs, built in {row.build_s:.3f} s"


def _times(times_s: Sequence[float]) -> str:
    return f"min {min(times_s) * 1e3:9.3f} median {statistics.median(times_s) * 1e3:9.3f} ms"


def _but_k(row: WorkRow) -> tuple[object, ...]:
    work = row.work
    return (work.q, *work.dataset, work.metric, work.one_shot)
