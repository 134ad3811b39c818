"""The synthetic shop as a change feed: hour by hour a batch of records, the photo files, and what is true after it.

The first batch tells the whole catalog, each later one what changed. The feed is as unruly as a shop's: records come
late, twice, in any order, broken, or of products that never were. None of that changes what is true: a late record is
one that a newer one has overtaken. All follows from the seed, whichever hours are written.
"""

import datetime
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from visnet.pipeline.log import SILENT, Log
from visnet.storage import atomic
from visnet.synthetic.painter import painted
from visnet.synthetic.seeds import generator
from visnet.synthetic.trade import Habits, Item, Shop, described, priced

TRUTH = pa.schema(
    [
        *((name, pa.string()) for name in ("product_id", "category", "colour", "gender", "title")),
        ("price", pa.float64()),
        ("photos", pa.list_(pa.string())),
        ("street_photos", pa.list_(pa.string())),
        ("painted", pa.list_(pa.string())),  # what photos and street photos show: ids of the synthetic shop's photos
        ("seq", pa.int64()),
    ]
)
_REMEMBERED = 1000  # of these last records some are repeated
_LATE_HOURS = 5
_ALONE = 96  # so few photos are painted before another process has started


@dataclass(frozen=True)
class Hour:
    """What an hour brings: a batch, the photo files to write (file -> what is painted) and to remove, the catalog."""

    name: str
    lines: Sequence[str]
    written: Mapping[str, str]
    removed: Sequence[str]
    items: Mapping[str, Item]


def hours(habits: Habits) -> Iterator[Hour]:
    """Yield the hours of the feed, without end; the first tells the whole catalog."""
    shop = Shop(habits)
    earlier: list[str] = []
    overtaken: list[tuple[int, str]] = []  # hour in which it arrives, record
    files: dict[str, str] = {}
    number = 0
    while True:
        rng = generator("feed", habits.seed, number)
        opens = habits.start + datetime.timedelta(hours=number)
        records = [json.dumps(shop.tell("upsert", item, opens)) for item in shop.opening()] if number == 0 else []
        for i in range(_count(rng, habits.churn * len(shop.live)) if number else 0):
            at = opens + datetime.timedelta(seconds=i % 3600)
            op, item = shop.changed(rng)
            if rng.random() < habits.late:  # the first of two words of it comes hours after the second
                first = json.dumps(shop.tell("upsert", priced(item, rng), at))
                overtaken.append((number + int(rng.integers(1, _LATE_HOURS + 1)), first))
            records.append(json.dumps(shop.tell(op, item, at)))
        lines = [*records, *(record for hour, record in overtaken if hour == number)]
        if earlier:
            lines += [
                earlier[int(i)] for i in rng.integers(len(earlier), size=_count(rng, habits.repeated * len(records)))
            ]
        lines += [_odd(rng, records[0], shop.seq) for _ in range(_count(rng, habits.bad * len(records)))]
        if number:
            lines = [lines[int(i)] for i in rng.permutation(len(lines))]
        earlier = (earlier + records)[-_REMEMBERED:]
        had, files = files, {path: name for item in shop.live.values() for path, name in item.files.items()}
        written = {path: name for path, name in sorted(files.items()) if had.get(path) != name}
        yield Hour(f"{opens:%Y-%m-%dT%H}", lines, written, sorted(had.keys() - files.keys()), dict(shop.live))
        number += 1


def write(out: Path, habits: Habits, hour: Hour, *, log: Log = SILENT) -> None:
    """Write an hour under the folder `out`: photos/, truth/ and, last, its batch in batches/, every file whole."""
    names = list(hour.written.values())
    processes = min(os.cpu_count() or 1, 8) if len(names) > _ALONE else 0
    with log.progress(f"photos of {hour.name}", len(names), unit="photo") as progress:
        for path, data in zip(hour.written, painted(habits.recipe, names, processes), strict=True):
            _put(out / "photos" / path, data)
            progress.advance()
    for path in hour.removed:
        (out / "photos" / path).unlink(missing_ok=True)
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(truth(habits, hour), sink)
    _put(out / "truth" / f"{hour.name}.parquet", sink.getvalue().to_pybytes())
    _put(out / "batches" / f"{hour.name}.jsonl", "".join(f"{line}\n" for line in hour.lines).encode())


def truth(habits: Habits, hour: Hour) -> pa.Table:
    """Return what the shop holds after an hour: one row of `TRUTH` per product, by id."""
    rows = [
        {
            **described(habits.recipe, item),
            "street_photos": list(item.street),
            "painted": list(item.files.values()),
            "seq": item.seq,
        }
        for _, item in sorted(hour.items.items())
    ]
    return pa.Table.from_pylist(rows, TRUTH)


def _odd(rng: np.random.Generator, record: str, seq: int) -> str:
    never: dict[str, object] = {"product_id": f"hats/never-{seq}", "seq": seq}
    odd = (
        record[: len(record) // 2],
        json.dumps({**never, "op": "delete"}),  # the only one that is no fault
        json.dumps({**never, "op": "sell"}),
        json.dumps({**never, "op": "upsert", "category": "hats"}),
        json.dumps({**never, "op": "delete", "seq": "soon"}),
        json.dumps({"op": "upsert", "seq": seq, "photos": ["a.jpg"], "category": "hats"}),
    )
    return odd[int(rng.integers(len(odd)))]


def _count(rng: np.random.Generator, expected: float) -> int:
    return int(expected) + int(rng.random() < expected % 1)


def _put(path: Path, data: bytes) -> None:
    with atomic.writing(path) as building:
        building.write_bytes(data)
