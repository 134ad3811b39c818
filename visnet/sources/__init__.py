"""Where photos come from: one module per kind of source, chosen by name in params.toml.

Every source module has
    class Params(Frozen)
    def listing(params, metadata: Path) -> Listing
    def fetch(params, wanted: Sequence[tuple[photo_id, locator]], *, metadata: Path, log) -> Iterator[Answer]
`fetch` is lazy, answers every wanted photo exactly once in any order, and may be abandoned at any time.
"""

from types import ModuleType

from visnet.sources import street2shop, synthetic, table
from visnet.sources.listing import PHOTOS, RECORDS, Answer, Listing

__all__ = ["PHOTOS", "RECORDS", "SOURCES", "Answer", "Listing"]

SOURCES: dict[str, ModuleType] = {"synthetic": synthetic, "street2shop": street2shop, "table": table}
