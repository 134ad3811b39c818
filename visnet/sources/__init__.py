"""Where photos come from: one module per kind of source, chosen by name in params.toml.

Every source module has
    class Params(Frozen)
    def listing(params, metadata: Path, state: Path | None = None) -> Listing
    def fetch(params, wanted: Sequence[tuple[photo_id, locator]], *, metadata: Path, log) -> Iterator[Answer]
`state` is a folder in which a source may keep what it has read. `fetch` is lazy, answers every wanted photo exactly
once in any order, and may be abandoned at any time. Where a listing has stamps, `fetch` takes `known` too: the
validators of the photos that are there. Where `Params` have a table `download`, it has the limits of what is asked at
once; else `fetch` takes `processes`, 0 for none beside its own.
"""

from types import ModuleType

from visnet.sources import atlas, feed, folder, street2shop, synthetic, table
from visnet.sources.listing import PHOTOS, RECORDS, Answer, Listing

__all__ = ["PHOTOS", "RECORDS", "SOURCES", "Answer", "Listing"]

SOURCES: dict[str, ModuleType] = {
    "synthetic": synthetic,
    "folder": folder,
    "street2shop": street2shop,
    "table": table,
    "atlas": atlas,
    "feed": feed,
}
