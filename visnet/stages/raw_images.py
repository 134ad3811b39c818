"""raw_images: the photos of a source, and the records that name them. A lost photo is a row with its reason."""

import contextlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from visnet.photos import validators
from visnet.photos.loss_gate import LossGate
from visnet.photos.validators import Heard, content
from visnet.photos.web.proxies import Unusable
from visnet.pipeline.budget import BATCH_BYTES
from visnet.pipeline.log import SILENT, Log, Progress
from visnet.pipeline.stage import Frozen, Report, Share, choosing
from visnet.sources import SOURCES
from visnet.sources.changefeed.state import COUNTS, stamp
from visnet.sources.listing import RECORDS, Answer, Listing
from visnet.storage import tables

IN_PLACE = True
METRICS = ("lost", "products")
CROP = ["photo_id", "product_id", "left", "top", "width", "height"]  # what a crop is, and what its id is made of
LOOKS = 20  # how often it is looked again because the source's description changed
WORK = {  # what a report counts of the work, not of what stands there
    *("added", "changed", "removed", "asked_again", "megabytes_downloaded", "records_written"),
    *("asked_conditionally", "not_modified", "same_bytes", "kept_stale", "downloaded"),
    *(f"feed_{name}" for name in ("batches_new", *COUNTS, "stale", "repeated", "unknown_deletes")),
}
PHOTO = pa.schema(
    [
        ("photo_id", pa.string()),
        ("locator", pa.string()),
        ("image", pa.large_binary()),  # as the source gave it; null when lost
        ("bytes", pa.int64()),
        ("lost", pa.string()),  # the reason; null when there
        ("asked", pa.int64()),  # the value of `ask_again` when the source was last asked
        *tables.HASH_COLUMNS,
    ]
)


@choosing("source", SOURCES)
class Params(Frozen):
    """Which source, and what is asked of it; each source has a table of its own."""

    source: str
    metadata: str
    lost_share_max: Share | None = None
    ask_again: int = Field(0, ge=0, le=2**31 - 1)
    commit_every: int = Field(2048, ge=1, le=1_000_000)

    @property
    def own(self) -> Any:
        """The table of the source that was chosen."""
        return getattr(self, self.source)


def build(*, out: Path, params: Params, log: Log) -> Report:
    """Bring the photos and records tables up to the source's listing; fetch only what is not there yet.

    What comes while it works is taken in, too: DVC notes what a stage has read as it finds it after the stage.
    """
    done: dict[str, Any] = {}
    for _ in range(LOOKS):
        seen = _standing(Path(params.metadata))
        report = _look(out, params, log)
        done = report | {name: round(done.get(name, 0) + report[name], 3) for name in WORK & report.keys()}
        if _standing(Path(params.metadata)) == seen:
            return done
        log.say(f"  {params.metadata} has changed meanwhile: looking again")
    raise ValueError(f"[raw_images] metadata: {params.metadata} is still written to; run this again when it is whole")


def _standing(metadata: Path) -> dict[str, str]:
    """Return what shows at a glance that the source's description is another one."""
    found = {}
    for file in [metadata, *metadata.rglob("*")]:
        with contextlib.suppress(FileNotFoundError):  # it was renamed just now
            found[str(file)] = stamp(file)
    return found


def _look(out: Path, params: Params, log: Log) -> dict[str, Any]:
    listing = _listed(out, params)
    photos, records = out / "photos.lance", out / "records.lance"
    change = tables.compare(photos, "photo_id", _wanted(listing))
    again = _lost_before(photos, params.ask_again)
    stamps = {photo_id: validators.stamp(told, params.ask_again) for photo_id, told in listing.stamps.items()}
    heard = Heard(out / "validators.lance", photos, stamps, [*change.todo, *again])
    _bring(photos, listing, change, again, heard, params, log)
    tables.delete(photos, "photo_id", change.gone)
    heard.forget(change.gone)
    keyed = _keyed(listing.records)
    records_written = _write_records(records, keyed)

    count = listing.photos.num_rows
    lost = Counter(tables.read(photos, ["lost"], "lost IS NOT NULL")["lost"].to_pylist())
    dropped = Counter(listing.dropped)
    dropped["exact duplicate record"] += listing.records.num_rows - keyed.num_rows
    _say(log, lost, +dropped, heard.counts["kept_stale"], params.source)
    sizes = tables.read(photos, ["bytes"])["bytes"]
    return {
        "photos": count,
        "lost": sum(lost.values()),
        "lost_share": round(sum(lost.values()) / count, 6),
        "lost_share_max": params.lost_share_max,
        **{f"lost_{_key(reason)}": number for reason, number in sorted(lost.items())},
        "added": len(change.new),
        "changed": len(change.changed) + heard.changed,
        "removed": len(change.gone),
        "asked_again": len(again),
        **heard.counts,
        "megabytes_downloaded": round(heard.downloaded_bytes / 1e6, 3),
        **{f"feed_{name}": number for name, number in listing.report.items()},
        "records": keyed.num_rows,
        "records_written": records_written,
        "records_dropped": dropped.total(),
        "products": pc.count_distinct(listing.records["product_id"]).as_py(),
        "categories": pc.count_distinct(listing.records["category"]).as_py(),
        "megabytes": round((pc.sum(sizes).as_py() or 0) / 1e6, 3),
        "digest": tables.fingerprint(tables.digest(photos, "photo_id"), tables.digest(records, "crop_id")),
    }


def _listed(out: Path, params: Params) -> Listing:
    """Have the source list its photos; `ValueError` when its description is not there, or lists none."""
    metadata = Path(params.metadata)
    if not metadata.exists():
        link = f" (a link to {metadata.readlink()})" if metadata.is_symlink() else ""
        raise ValueError(
            f"[raw_images] metadata: {metadata}{link} does not exist; give the file or folder of the source"
        )
    listing: Listing = SOURCES[params.source].listing(params.own, metadata, out)
    if listing.photos.num_rows == 0:
        raise ValueError(f"[raw_images] metadata: {metadata} lists no photo")
    return listing


def _wanted(listing: Listing) -> pa.Table:
    return tables.wanted(listing.photos["photo_id"].to_pylist(), tables.fingerprints(listing.photos["locator"]))


def _bring(
    photos: Path,
    listing: Listing,
    change: tables.Difference,
    again: set[str],
    heard: Heard,
    params: Params,
    log: Log,
) -> None:
    """Ask the source for what is not there yet, and commit it as it comes; photos that stand are lost last of all."""
    locators = dict(zip(*(listing.photos[name].to_pylist() for name in ("photo_id", "locator")), strict=True))
    sources = dict(zip(*(_wanted(listing)[name].to_pylist() for name in ("key", "source")), strict=True))
    todo = sorted({*change.todo, *(again & locators.keys()), *heard.stale})
    _check_places([locators[photo_id] for photo_id in todo], len(locators))
    if not tables.is_table(photos):
        tables.put(photos, "photo_id", PHOTO.empty_table())
    replaced = {*change.changed, *again, *heard.stale}.difference(change.new)
    gate = LossGate(
        photos,
        "photo_id",
        stage="raw_images",
        redone=[*replaced, *change.gone],
        count=len(locators),
        share_max=params.lost_share_max,
    )

    def commit(answers: list[Answer]) -> None:
        tables.put(photos, "photo_id", _rows(answers, locators, sources, params.ask_again), replaced)

    unusable: list[Unusable] = []
    held: list[Answer] = []  # lost photos that stand there now
    how = {"known": heard.marks} if listing.stamps else {}
    asked = [(photo_id, locators[photo_id]) for photo_id in todo]
    with log.progress("photos", len(locators), done=len(locators) - len(todo), unit="photo") as progress:
        answers = SOURCES[params.source].fetch(params.own, asked, metadata=Path(params.metadata), log=SILENT, **how)
        for batch in _batches(_counted(_until(answers, unusable), progress), params.commit_every):
            news = heard.news(batch)
            back = gate.note({answer.photo_id: answer.lost for answer in news if answer.lost is not None})
            held += [answer for answer in news if answer.photo_id in back]
            commit([answer for answer in news if answer.photo_id not in back])
            heard.keep(answer for answer in batch if answer.photo_id not in back)
        commit(held)
        heard.keep(held)
    if unusable:
        raise unusable[0]  # what did not need it is kept


def _say(log: Log, lost: Counter[str], dropped: Counter[str], kept: int, source: str) -> None:
    if kept:
        log.say(
            f"  kept {kept} photo{'s' * (kept != 1)} that could not be asked for just now; the next news, or "
            "`dvc repro --force --single-item raw_images`, asks again"
        )
    for reason, count in lost.most_common():
        log.say(f"  lost {count} photo{'s' * (count != 1)}: {reason}{_cure(reason, source)}")
    for reason, count in dropped.items():
        log.say(f"  dropped {count} record{'s' * (count != 1)}: {reason}")


def _until(answers: Iterable[Answer], unusable: list[Unusable]) -> Iterable[Answer]:
    """Pass the answers on until the environment turns out to be unusable."""
    try:
        yield from answers
    except Unusable as error:
        unusable.append(error)


def _cure(reason: str, source: str) -> str:
    """Name the parameter that allows what was refused."""
    for beginning, name in (("path outside", "allow_paths"), ("address not allowed", "allow_hosts")):
        if reason.startswith(beginning):
            return f"; [raw_images.{source}.download] {name} may allow it by name (then raise ask_again)"
    return ""


def _check_places(asked: list[str], count: int) -> None:
    """Refuse a listing whose photos are all on the disk, and none of which is there: the folder is not that one."""
    if len(asked) < count or any(not _is_local(locator) or Path(locator).exists() for locator in asked):
        return
    first = Path(asked[0])
    absent = next((str(folder) for folder in reversed(first.parents) if not folder.exists()), None)
    why = f"the folder {absent} does not exist" if absent else f"the first would be {first}"
    raise ValueError(f"[raw_images] none of {count} photos is there: {why}; see `images` or `photos` in params.toml")


def _is_local(locator: str) -> bool:
    return locator.startswith("/") and len(locator) < 4096 and "\0" not in locator


def _lost_before(photos: Path, ask_again: int) -> set[str]:
    """Photos that are lost and were not asked for since `ask_again` was raised."""
    if not tables.is_table(photos):
        return set()
    return set(tables.read(photos, ["photo_id"], f"lost IS NOT NULL AND asked < {ask_again}")["photo_id"].to_pylist())


def _key(reason: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in reason.lower()).strip("_")


def _counted(answers: Iterable[Answer], progress: Progress) -> Iterable[Answer]:
    lost = 0
    for answer in answers:
        lost += answer.lost is not None
        progress.advance(lost=lost)
        yield answer


def _batches(answers: Iterable[Answer], size: int, limit_bytes: int = BATCH_BYTES) -> Iterable[list[Answer]]:
    batch: list[Answer] = []
    held = 0
    for answer in answers:
        batch.append(answer)
        held += len(answer.data or b"")
        if len(batch) >= size or held >= limit_bytes:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _rows(batch: list[Answer], locators: dict[str, str], sources: dict[str, str], ask_again: int) -> pa.Table:
    batch = sorted(batch, key=lambda a: a.photo_id)
    columns = {
        "photo_id": [a.photo_id for a in batch],
        "locator": [locators[a.photo_id] for a in batch],
        "image": [a.data for a in batch],
        "bytes": [len(a.data) if a.data is not None else 0 for a in batch],
        "lost": [a.lost for a in batch],
        "asked": [ask_again] * len(batch),
        "source": [sources[a.photo_id] for a in batch],
        "content": [content(a) for a in batch],
    }
    return pa.table(columns, schema=PHOTO)


def _keyed(records: pa.Table) -> pa.Table:
    """Give the records their crop ids and hashes, in the order of `CROP`; equal records become one.

    An id says what the crop is and not where it stands: it stays whatever else is listed, and no other crop can take
    it. Where a source lists one crop several times with other facts (a product in two categories), their ids are made
    of these, too.
    """
    records = records.sort_by([(name, "ascending") for name in CROP])
    whole = pd.Series(tables.fingerprints(*records.columns), dtype=object)
    first = ~whole.duplicated()
    records, whole = records.filter(pa.array(first)), whole[first].reset_index(drop=True)
    crop_id = pd.Series(tables.fingerprints(*records.select(CROP).columns), dtype=object)
    crop_id = crop_id.where(~crop_id.duplicated(keep=False), whole)
    schema = pa.schema([("crop_id", pa.string()), *RECORDS, *tables.HASH_COLUMNS])
    return pa.table([pa.array(crop_id), *records.columns, pa.array(whole), pa.array(whole)], schema=schema)


def _write_records(path: Path, records: pa.Table) -> int:
    """Bring the table up to the records; return how many rows were written."""
    crop_id, source = (records[name].to_pylist() for name in ("crop_id", "source"))
    change = tables.compare(path, "crop_id", tables.wanted(crop_id, source))
    rows = records.filter(pc.is_in(records["crop_id"], pa.array(change.todo, pa.string())))
    tables.put(path, "crop_id", rows, change.changed)
    tables.delete(path, "crop_id", change.gone)
    return len(change.todo)
