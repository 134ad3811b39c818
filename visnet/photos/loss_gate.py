"""What stands in a table is not taken away by losses beyond what is allowed: a wrong number may be the cause."""

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from visnet.storage.table import Table


class TooManyLost(ValueError):
    """More would be lost than is allowed, and what is lost stands in the table now."""


class LossGate:
    """Counts what a run of a stage loses, beside what was lost before, against the share that is allowed.

    table: keyed by `key`, with a column `lost`; its name is what a message calls its rows. redone: the keys of the rows
    that are made again, or go. count: of the rows that there will be. replaced: key of a new row -> that of the row
    whose place it takes, where keys say what a row is made of, so that what is made of something else has another key.
    """

    def __init__(
        self,
        table: Table,
        *,
        stage: str,
        redone: Iterable[str],
        count: int,
        share_max: float | None,
        replaced: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.stage, self.what, self.count, self.share_max = stage, table.path.stem, count, share_max
        self.reasons: Counter[str] = Counter()
        self.taken_away: set[str] = set()
        self.present: set[str] = set()
        self.replaced = replaced
        if table.exists():
            again, key = set(redone), table.key
            self.present = again.intersection(table.read([key], "lost IS NULL")[key].to_pylist())
            rows = table.read([key, "lost"], "lost IS NOT NULL").to_pylist()
            self.reasons.update(row["lost"] for row in rows if row[key] not in again)

    def note(self, lost: Mapping[str, str]) -> set[str]:
        """Count what is lost (key -> reason); return the keys that stand in the table, to be replaced at the very end.

        `TooManyLost` when there are any, and more is lost than allowed.
        """
        self.reasons.update(lost.values())
        found = {key for key in lost if key in self.present or self.replaced.get(key) in self.present}
        self.taken_away |= found
        if self.taken_away and self.share_max is not None and self.reasons.total() > self.share_max * self.count:
            raise self.refusal()
        return found

    def refusal(self) -> TooManyLost:
        """Return the error that says how many would be lost, and why."""
        reason, times = self.reasons.most_common(1)[0]
        allowed = "" if self.share_max is None else f", lost_share_max = {self.share_max:g} allows fewer"
        return TooManyLost(
            f"[{self.stage}] at least {self.reasons.total()} of {self.count} {self.what} would be lost, "
            f"{len(self.taken_away)} of those that are there among them ({times} times: {reason}){allowed}; "
            "what was there stays"
        )
