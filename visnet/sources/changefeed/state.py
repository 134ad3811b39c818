"""Fold batches into the catalog: per product the record of the highest rank, whatever came when and how often.

Three tables: `catalog.lance` (one row per product; a delete stays as a row, so that a late upsert finds it),
`batches.lance` (one row per batch read) and `dead_letters.lance`. The catalog is committed first and a batch's own row
last: after a kill the batch is read again, and finds its records there. A batch that leaves the folder changes nothing;
one whose bytes changed is read as a further batch, so what it said before still counts until a higher rank replaces it.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from visnet.pipeline.log import SILENT, Log
from visnet.sources.changefeed.batches import SUFFIXES, Reading
from visnet.sources.changefeed.records import UNLIMITED, Limits, Record, rank
from visnet.storage.fingerprints import HASH_COLUMNS, fingerprint
from visnet.storage.table import Table

RECORDS_AT_ONCE = 50_000  # folded per commit, so that memory is bounded and small batches share a commit
BYTES_AT_ONCE = 64 << 20  # of them, about
CATALOG = pa.schema(
    [
        ("product_id", pa.string()),
        ("op", pa.string()),
        ("seq", pa.int64()),
        ("updated_at", pa.int64()),  # microseconds since 1970, UTC
        ("photos", pa.list_(pa.string())),
        ("street_photos", pa.list_(pa.string())),
        ("street_boxes", pa.list_(pa.float64())),  # four per street photo
        *((name, pa.string()) for name in ("category", "colour", "gender", "title")),
        ("price", pa.float64()),
        ("split", pa.string()),
        ("attributes", pa.string()),  # JSON
        *HASH_COLUMNS,
    ]
)
COUNTS = ("records", "upserts", "deletes", "dead_letters")  # functions of a batch's bytes
BATCHES = pa.schema(
    [
        ("batch", pa.string()),
        ("stamp", pa.string()),  # size and time of the file: while they stay it is not opened
        *((name, pa.int64()) for name in COUNTS),
        *HASH_COLUMNS,  # both are the digest of its bytes
    ]
)
DEAD_LETTERS = pa.schema(
    [
        ("letter_id", pa.string()),
        ("batch", pa.string()),
        ("line", pa.int64()),  # from 1; 0 = the whole file
        ("reason", pa.string()),
        ("text", pa.string()),
        *HASH_COLUMNS,
    ]
)


class _Tables(NamedTuple):
    """What the batches came to: the products, the batches that were read, and what could not be taken of them."""

    catalog: Table
    batches: Table
    dead_letters: Table


@dataclass
class _Chunk:
    """What is folded in one commit."""

    records: list[Record] = field(default_factory=list)
    batches: list[dict[str, object]] = field(default_factory=list)
    read: list[str] = field(default_factory=list)  # those of them whose bytes are new
    dead: list[dict[str, object]] = field(default_factory=list)
    bytes: int = 0

    def is_full(self) -> bool:
        """Tell whether it is time for a commit."""
        return len(self.records) >= RECORDS_AT_ONCE or self.bytes >= BYTES_AT_ONCE

    def add(self, record: Record) -> None:
        """Take a record; the same one again takes no memory."""
        if not self.records or self.records[-1] is not record:
            photos = len(record.photos) + len(record.street_photos)
            self.bytes += 800 + 150 * photos + 2 * (len(record.title) + len(record.attributes))
        self.records.append(record)


def fold(inbox: Path, pattern: str, state: Path, limits: Limits = UNLIMITED, *, log: Log = SILENT) -> dict[str, int]:
    """Read the batches of the folder `inbox` that are new or changed into the tables of the folder `state`.

    A record over the limits, from the future say, is a dead letter. That is decided once, when its batch is first read.
    Returns counts: batches (files there), batches_new, records, upserts, deletes, dead_letters of what was read; stale
    (came after one of a higher rank), repeated (what stands already, word for word), unknown_deletes; products_live.
    """
    tables = _Tables(
        Table(state / "catalog.lance", "product_id"),
        Table(state / "batches.lance", "batch"),
        Table(state / "dead_letters.lance", "letter_id"),
    )
    for table, schema in zip(tables, (CATALOG, BATCHES, DEAD_LETTERS), strict=True):
        if not table.exists():
            table.put(schema.empty_table())
    there = listed(inbox, pattern)
    had = {row["batch"]: row for row in tables.batches.read(BATCHES.names).to_pylist()}
    stamps = {name: stamp(path) for name, path in there.items()}  # before it is read: if written to since, read again
    todo = [name for name in there if had.get(name, {}).get("stamp") != stamps[name]]
    counts = dict.fromkeys(("batches_new", *COUNTS, "stale", "repeated", "unknown_deletes"), 0)
    chunk = _Chunk()
    with log.progress("batches", len(todo), unit="batch") as progress:
        for name in todo:
            digest = _digest(there[name])
            row = had.get(name)
            if row is None or row["source"] != digest:
                reading = Reading(there[name], limits)
                for record in reading:
                    chunk.add(record)
                    if chunk.is_full():
                        _commit(chunk, tables, counts)
                        chunk = _Chunk()
                row = {"batch": name, **reading.counts(), "source": digest, "content": digest}
                counts["batches_new"] += 1
                chunk.read.append(name)
                for count in COUNTS:
                    counts[count] += reading.counts()[count]
                chunk.dead += [_letter(name, *letter) for letter in reading.dead]
                chunk.bytes += 1_000 * len(reading.dead)
            chunk.batches.append({**row, "stamp": stamps[name]})
            progress.advance(records=counts["records"])
            if chunk.is_full():
                _commit(chunk, tables, counts)
                chunk = _Chunk()
    _commit(chunk, tables, counts)
    live = tables.catalog.count("op = 'upsert'")
    return {"batches": len(there), **counts, "products_live": live}


def listed(inbox: Path, pattern: str) -> dict[str, Path]:
    """Return name -> path of the batches in a folder, by name; what starts with "." or "_" is none.

    A folder that is called like a batch holds parts, as Spark writes them, and each part is a batch.
    """
    found = {inner for path in inbox.glob(pattern) for inner in (path.rglob("*") if _has_parts(path) else [path])}
    paths = {path.relative_to(inbox).as_posix(): path for path in sorted(found) if path.is_file()}
    return {name: path for name, path in paths.items() if not any(part[0] in "._" for part in name.split("/"))}


def _has_parts(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES) and path.is_dir()


def stamp(path: Path) -> str:
    """Return what differs when a file has been written again."""
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


def _commit(chunk: _Chunk, tables: _Tables, counts: dict[str, int]) -> None:
    if chunk.records:
        _commit_records(chunk.records, tables.catalog, counts)
    if not chunk.batches:
        return
    known = tables.dead_letters.read(["letter_id", "batch"])
    mine = pc.is_in(known["batch"], pa.array(chunk.read, pa.string()))
    had_letters = set(known.filter(mine)["letter_id"].to_pylist())
    tables.dead_letters.put(pa.Table.from_pylist(chunk.dead, DEAD_LETTERS), had_letters)
    tables.dead_letters.delete(sorted(had_letters - {str(letter["letter_id"]) for letter in chunk.dead}))

    known = tables.batches.read(["batch"])["batch"].to_pylist()
    tables.batches.put(pa.Table.from_pylist(chunk.batches, BATCHES), known)


def _commit_records(records: list[Record], catalog: Table, counts: dict[str, int]) -> None:
    had_ranks = _ranks(catalog, {record.product_id for record in records})
    best: dict[str, Record] = {}
    ranks = dict(had_ranks)
    for record in records:
        had = ranks.get(record.product_id)
        if had is None:
            counts["unknown_deletes"] += record.op == "delete"
        if had is None or record.rank > had:
            ranks[record.product_id], best[record.product_id] = record.rank, record
        else:
            counts["repeated" if record.rank == had else "stale"] += 1
    rows = [{**best[p]._asdict(), "source": best[p].content} for p in sorted(best)]
    catalog.put(pa.Table.from_pylist(rows, CATALOG), had_ranks)


def _ranks(catalog: Table, product_ids: set[str]) -> dict[str, tuple[int, int, str]]:
    """Return the ranks of those products that have a row; of the others nothing is held in memory."""
    wanted = pa.array(sorted(product_ids), pa.string())
    columns = ["product_id", "seq", "updated_at", "content"]
    ranks = {}
    for batch in catalog.opened().scanner(columns=columns).to_batches():
        for row in batch.filter(pc.is_in(batch["product_id"], wanted)).to_pylist():
            ranks[row["product_id"]] = rank(row["seq"], row["updated_at"], row["content"])
    return ranks


def _letter(batch: str, line: int, reason: str, text: str) -> dict[str, object]:
    content = fingerprint(batch, line, reason, text)
    letter = {"batch": batch, "line": line, "reason": reason, "text": text}
    return {"letter_id": f"{batch}:{line}", **letter, "source": content, "content": content}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
