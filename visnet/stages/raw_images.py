"""raw_images: the photos of a source, and the records that name them. A lost photo is a row with its reason."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from pydantic import Field

from visnet.engines import Engine, cluster
from visnet.photos import photo_table, validators
from visnet.photos.photo_table import Fetch, Update
from visnet.photos.spread_fetching import fetch_on
from visnet.photos.validators import PhotoValidators
from visnet.photos.web.options import FetchOptions
from visnet.pipeline.log import SILENT, Log
from visnet.pipeline.stage import Frozen, Report, Share, choosing
from visnet.sources import SOURCES, product_table, record_table
from visnet.sources.changefeed.state import COUNTS, stamp
from visnet.sources.listing import Answer, Listing
from visnet.storage import atomic
from visnet.storage.fingerprints import fingerprint
from visnet.storage.table import Table

IN_PLACE = True
METRICS = ("lost", "products")
LOST = "lost.csv"  # photo_id and reason of the photos that are lost
PRODUCTS = "catalog.lance"  # what is shown of products beside photos, where a source says it
POLLS = 20  # how often the source is read again because its description changed meanwhile
WORK = {  # what a report counts of the work, not of what stands there
    *("added", "changed", "removed", "asked_again", "megabytes_downloaded", "records_written"),
    *("asked_conditionally", "not_modified", "same_bytes", "kept_stale", "downloaded"),
    *(f"feed_{name}" for name in ("batches_new", *COUNTS, "stale", "repeated", "unknown_deletes")),
}


@choosing("source", SOURCES)
class Params(Frozen):
    """Which source, what is asked of it, and where from: "ray" has the nodes of a Ray cluster fetch the photos.

    Each source has a table of its own.
    """

    source: str
    metadata: str
    lost_share_max: Share | None = None
    ask_again: int = Field(0, ge=0, le=2**31 - 1)
    commit_every: int = Field(2048, ge=1, le=1_000_000)
    engine: Engine = "local"

    @property
    def own(self) -> Any:
        """The table of the source that was chosen."""
        return getattr(self, self.source)


def build(*, out: Path, params: Params, log: Log) -> Report:
    """Bring the photos and records tables up to the source's listing; fetch only what is not there yet.

    What comes while it works is taken in, too: DVC notes what a stage has read as it finds it after the stage.
    """
    done: dict[str, Any] = {}
    for _ in range(POLLS):
        before = _stamps(Path(params.metadata))
        report = _poll(out, params, log)
        done = report | {name: round(done.get(name, 0) + report[name], 3) for name in WORK & report.keys()}
        if _stamps(Path(params.metadata)) == before:
            return done
        log.say(f"  {params.metadata} has changed meanwhile: reading it again")
    raise ValueError(f"[raw_images] metadata: {params.metadata} is still written to; run this again when it is whole")


def _stamps(metadata: Path) -> dict[str, str]:
    """Return file -> what differs when it is written again, of the source's description."""
    found = {}
    for file in [metadata, *metadata.rglob("*")]:
        with contextlib.suppress(FileNotFoundError):  # it was renamed just now
            found[str(file)] = stamp(file)
    return found


def _poll(out: Path, params: Params, log: Log) -> dict[str, Any]:
    """Read the source's listing once, and bring both tables up to it; return the report."""
    listing = _listed(out, params)
    photos, records = Table(out / "photos.lance", "photo_id"), Table(out / "records.lance", "crop_id")
    change = photos.compare(photo_table.wanted_photos(listing.photos))
    again = photo_table.lost_before(photos, params.ask_again)
    stamps = {photo_id: validators.stamp(told, params.ask_again) for photo_id, told in listing.stamps.items()}
    known = PhotoValidators(out / "validators.lance", photos, stamps, [*change.todo, *again])
    update = Update(photos, listing.photos, change, again, known, params.ask_again)
    _check_places([update.locators[photo_id] for photo_id in update.todo], len(update.locators))
    with _fetching(update, params, log) as fetch:
        photo_table.bring(
            update,
            fetch,
            stage="raw_images",
            conditional=bool(listing.stamps),
            lost_share_max=params.lost_share_max,
            commit_every=params.commit_every,
            log=log,
        )
    photos.delete(change.gone)
    known.forget(change.gone)
    if not _keeps_products(params):
        product_table.write(Table(out / PRODUCTS, "product_id"), listing.products)
    keyed = record_table.keyed(listing.records)
    written = record_table.write(records, keyed)
    dropped = Counter(listing.dropped)
    dropped["exact duplicate record"] += listing.records.num_rows - keyed.num_rows
    gone = photos.read(["photo_id", "lost"], "lost IS NOT NULL").sort_by("photo_id").to_pandas()
    atomic.put_text(out / LOST, gone.rename(columns={"lost": "reason"}).to_csv(index=False))
    lost = Counter(gone["lost"])
    counted = record_table.by_category(keyed, photos.read(["photo_id", "lost"]))
    atomic.put_text(out / "categories.csv", counted.to_csv(index=False))
    if dead := listing.report.get("dead_letters"):
        log.say(f"  {dead} record{'s' * (dead != 1)} of new batches cannot be used: `python -m visnet feed` says why")
    _say(log, lost, +dropped, known.counts["kept_stale"], params.source)
    return {
        **_counts(listing, lost, params),
        "added": len(change.new),
        "changed": len(change.changed) + known.changed,
        "removed": len(change.gone),
        "asked_again": len(again),
        **known.counts,
        "megabytes_downloaded": round(known.downloaded_bytes / 1e6, 3),
        **{f"feed_{name}": number for name, number in listing.report.items()},
        "records": keyed.num_rows,
        "records_written": written,
        "records_dropped": dropped.total(),
        "products": pc.count_distinct(listing.records["product_id"]).as_py(),
        "categories": pc.count_distinct(listing.records["category"]).as_py(),
        "megabytes": round((pc.sum(photos.read(["bytes"])["bytes"]).as_py() or 0) / 1e6, 3),
        "digest": fingerprint(photos.digest(), records.digest()),
    }


@contextlib.contextmanager
def _fetching(update: Update, params: Params, log: Log) -> Iterator[Fetch]:
    """Give what fetches photos, here or on a cluster, which is connected while there are photos to ask for."""
    if params.engine == "local" or not update.todo:
        yield _fetch(params)
        return
    options: FetchOptions | None = getattr(params.own, "download", None)
    with cluster.connected(log) as nodes, contextlib.ExitStack() as stack:

        def fetch(wanted: Sequence[tuple[str, str]], **known: Any) -> Iterable[Answer]:
            answers = fetch_on(nodes, partial(_fetch, params), options or FetchOptions(), wanted, **known)
            return stack.enter_context(contextlib.closing(answers))

        yield fetch


def _fetch(params: Params, options: FetchOptions | None = None) -> Fetch:
    """Return what fetches photos of the source here, or with options of its own as one of several processes."""
    own, one_of_several = params.own, {}
    if options is not None and hasattr(own, "download"):
        own = own.model_copy(update={"download": options})
    elif options is not None:
        one_of_several = {"processes": 0}  # to generate photos with
    source = SOURCES[params.source]
    return partial(source.fetch, own, metadata=Path(params.metadata), log=SILENT, **one_of_several)


def _counts(listing: Listing, lost: Counter[str], params: Params) -> dict[str, Any]:
    count = listing.photos.num_rows
    return {
        "photos": count,
        "lost": lost.total(),
        "lost_share": round(lost.total() / count, 6),
        "lost_share_max": params.lost_share_max,
        **{f"lost_{_key(reason)}": number for reason, number in sorted(lost.items())},
    }


def _listed(out: Path, params: Params) -> Listing:
    """Have the source list its photos; `ValueError` when its description is not there, or lists none."""
    metadata = Path(params.metadata)
    if not metadata.exists():
        link = f" (a link to {metadata.readlink()})" if metadata.is_symlink() else ""
        raise ValueError(
            f"[raw_images] metadata: {metadata}{link} does not exist; give the file or folder of the source"
        )
    if _keeps_products(params):
        product_table.give_way(Table(out / PRODUCTS))
    listing: Listing = SOURCES[params.source].listing(params.own, metadata, out)
    if listing.photos.num_rows == 0:
        raise ValueError(f"[raw_images] metadata: {metadata} lists no photo")
    return listing


def _keeps_products(params: Params) -> bool:
    """Tell whether the source itself keeps what is known of products."""
    return getattr(SOURCES[params.source], "KEEPS_PRODUCTS", False)


def _say(log: Log, lost: Counter[str], dropped: Counter[str], kept: int, source: str) -> None:
    if kept:
        log.say(
            f"  kept {kept} photo{'s' * (kept != 1)} that could not be asked for just now; the next news, or "
            "`dvc repro --force --single-item raw_images`, asks again"
        )
    for reason, count in lost.most_common():
        log.say(f"  lost {count} photo{'s' * (count != 1)}: {reason}{_cure(reason, source)}")
    if lost:
        log.say(f"  which they are: data/raw_images/{LOST}")
    for reason, count in dropped.items():
        log.say(f"  dropped {count} record{'s' * (count != 1)}: {reason}")


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


def _key(reason: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in reason.lower()).strip("_")
