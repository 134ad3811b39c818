"""Keyed Lance tables of which only differences are written; nothing else knows which files Lance makes.

Every table has a string key, a `source` column (hash of what the row was made from: equal means nothing to do) and
a `content` column (hash of what the row says: the digest is made of these). Commits are atomic; a kill leaves the last.

A table may stand in an object store, by its URL: Lance commits there by conditional puts, so that writers need no lock.
"""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from visnet.errors import NotReady
from visnet.storage.fingerprints import content_digest
from visnet.storage.object_store import is_url, lance_options
from visnet.storage.table_files import TableFiles, committing, cut_short, data_files, files_of, first_commit, is_whole

if TYPE_CHECKING:
    import lance

NUMBERED = ("_versions", "_transactions")  # folders whose files have the same names in a table that replaces another
WRITTEN = (*NUMBERED, "data", "_deletions", "_indices")  # folders that Lance writes, and whose files we may remove
_HINT = "latest_version_hint.json"


@dataclass(frozen=True)
class Difference:
    """What must happen to a table so that it holds just the wanted rows."""

    new: list[str]
    changed: list[str]
    gone: list[str]
    same: int

    @property
    def todo(self) -> list[str]:
        """Keys to make, in key order."""
        return sorted([*self.new, *self.changed])


def wanted_rows(keys: Sequence[str] | pd.Series, sources: Sequence[str] | pd.Series) -> pa.Table:
    """Return the rows that a table should have, as `compare` takes them: unique keys, and the rows' source hashes."""
    return pa.table([pa.array(keys, pa.string()), pa.array(sources, pa.string())], names=["key", "source"])


def tables_of(folder: Path) -> list["Table"]:
    """List the committed tables of a folder, by name."""
    return [table for path in sorted(folder.glob("*.lance")) if (table := Table(path)).exists()]


@dataclass(frozen=True)
class Table:
    """A table at a path or URL, which need not be there yet; of one that is, `key` may be left out: the first column.

    In an object store, `NotReady` when that does not answer, `Conflict` when others commit again and again before us.
    """

    place: Path | str
    key: str = ""

    @property
    def path(self) -> Path:
        """Where it stands on the disk; `ValueError` for one in an object store."""
        if is_url(self.place):
            raise ValueError(f"{self.place}: only a table on the disk has a path")
        return Path(self.place)

    def exists(self) -> bool:
        """Tell whether a committed table stands there.

        A kill in the course of its first commit leaves a manifest beside its place, as `NAME.manifest#1`: that is none.
        """
        return any(name.endswith(".manifest") for name in self._files.names("_versions"))

    def opened(self, version: int | None = None) -> "lance.LanceDataset":
        """Open a version, the latest if none is named; `NotReady` when there is no table."""
        if not is_url(self.place) and not self.exists():
            raise NotReady(f"{self.place}: no table there; run the stage that makes it")
        return self._dataset(version)

    @property
    def version(self) -> int:
        """The number of the latest version."""
        return self.opened().version

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return self.opened().schema.names

    def count(self, where: str | None = None) -> int:
        """Count the rows that satisfy the SQL condition `where`."""
        return self.opened().count_rows(where)

    def read(self, columns: list[str], where: str | None = None) -> pa.Table:
        """Read columns of the rows that satisfy the SQL condition `where`, in the table's own order."""
        return self.opened().to_table(columns=columns, filter=where)

    def digest(self) -> str:
        """Return the digest of the logical content: equal content, equal digest, on any machine."""
        rows = self.read([self._key(), "content"])
        return content_digest(rows[self._key()], rows["content"])

    def compare(self, wanted: pa.Table) -> Difference:
        """Hold the wanted rows (see `wanted_rows`) against those that are there."""
        keys, sources = (wanted[name].combine_chunks() for name in ("key", "source"))
        if not self.exists():
            return Difference(new=keys.to_pylist(), changed=[], gone=[], same=0)
        had = self.read([self._key(), "source"]).combine_chunks()
        had_keys = had[self._key()].combine_chunks()
        at = pc.index_in(keys, value_set=had_keys)
        there = at.is_valid()
        changed = pc.not_equal(sources.filter(there), had["source"].take(at.drop_null()))
        gone = had_keys.filter(pc.invert(pc.is_in(had_keys, value_set=keys)))
        new, other = keys.filter(at.is_null()).to_pylist(), keys.filter(there).filter(changed).to_pylist()
        return Difference(new, other, sorted(gone.to_pylist()), same=len(keys) - len(new) - len(other))

    def put(self, rows: pa.Table, replaced: Iterable[str] = ()) -> None:
        """Commit rows, replacing those whose key is in `replaced` (all others must be new).

        `OSError` when the disk was full and the commit was cut short; `repair` takes it back.
        """
        import lance  # here, as in `_dataset`

        known, before = set(replaced), set[str]()
        try:
            latest = self.opened()
        except NotReady:
            with first_commit(self.place):
                latest = lance.write_dataset(rows, self._uri, mode="create", storage_options=self._options)
        else:
            if rows.num_rows == 0:
                return
            key = self.key or latest.schema.names[0]
            if is_url(self.place):  # where to look at each file takes a request
                before = set(data_files(latest.get_fragments()))
            with committing(self.place):
                if any(one in known for one in rows[key].to_pylist()):
                    merge = latest.merge_insert(key).when_matched_update_all()
                    merge.when_not_matched_insert_all().execute(rows)  # then `latest` is what was committed
                else:
                    latest = lance.write_dataset(rows, latest if is_url(self.place) else self._uri, mode="append")
        if not is_whole(self._files, latest.get_fragments(), before):
            raise cut_short(self._uri)

    def delete(self, gone: list[str], at_once: int = 1000) -> None:
        """Delete rows by key."""
        for start in range(0, len(gone), at_once):
            keys = ", ".join("'" + k.replace("'", "''") + "'" for k in gone[start : start + at_once])
            with committing(self.place):
                self._dataset().delete(f"{self._key()} IN ({keys})")

    def add_columns(self, schema: pa.Schema) -> None:
        """Give a table of an older layout the columns of `schema` that it lacks, null in the rows that stand there."""
        there = self.columns
        if lacking := [column for column in schema if column.name not in there]:
            self._dataset().add_columns(pa.schema(lacking))

    def restore(self, version: int) -> None:
        """Commit the table as it was at `version`, unless it still is that."""
        if self.version != version:
            self._dataset(version).restore()  # type: ignore[no-untyped-call]

    def compact(self, deleted_share: float, at_once: int | None) -> None:
        """Write small files together, and those of which more than a share of the rows is deleted without them."""
        self.opened().optimize.compact_files(
            materialize_deletions_threshold=deleted_share, batch_size=at_once, num_threads=1
        )

    def forget_older(self) -> int:
        """Remove all that the latest version does not name; return how many files no version ever named.

        Those are of writers that were killed. Lance's own cleanup does not see all of them, nor all of older versions.
        """
        left = len(self._unnamed())
        self.opened().cleanup_old_versions(older_than=datetime.timedelta(0), delete_unverified=True)
        self._files.remove(self._unnamed())
        return left

    def _unnamed(self) -> list[str]:
        """List the files that no version names."""
        named = {*self.opened().tracked_files().read_all()["path"].to_pylist(), f"{NUMBERED[0]}/{_HINT}"}
        return [name for folder in WRITTEN for name in self._files.names(folder) if name not in named]

    def forget_newer(self, version: int) -> None:
        """Take back what was committed after `version`, by the manifests alone: that needs no room."""
        (self.path / "_versions" / _HINT).unlink(missing_ok=True)
        for manifest in (self.path / "_versions").glob("*.manifest"):
            if 2**64 - 1 - int(manifest.stem) > version:  # so named that the newest comes first
                manifest.unlink()

    def files(self) -> list[str]:
        """List the files that the latest version needs, by their paths in the table's folder."""
        latest = self.opened()
        rows = latest.tracked_files(min_version=latest.version).read_all()
        return sorted(rows.filter(pc.equal(rows["version"], latest.version))["path"].to_pylist())

    def is_whole(self) -> bool:
        """Whether each data file that the latest version names is as long as its manifest says; none is read."""
        return is_whole(self._files, self.opened().get_fragments())

    def stored(self) -> dict[str, int]:
        """Return the bytes of each file in its folder, of all versions and of none."""
        return self._files.lengths(self._files.names(""))

    def check_whole(self) -> None:
        """Raise `OSError` (no space left) when the latest commit was cut short."""
        if not self.is_whole():
            raise cut_short(self._uri)

    def can_be_opened(self) -> bool:
        """Whether the latest manifest can be read; of one that was zeroed Lance says that it has no columns."""
        try:
            return bool(self.columns)
        except (ValueError, OSError) as error:
            if "os error" in str(error):  # who may not read it
                raise
            return False

    def _key(self) -> str:
        return self.key or self.columns[0]

    def _dataset(self, version: int | None = None) -> "lance.LanceDataset":
        import lance  # here: what trains imports this module, also where Lance is not installed

        if not is_url(self.place):
            return lance.dataset(self._uri, version=version)
        try:
            with committing(self.place):
                return lance.dataset(self._uri, version=version, storage_options=self._options)
        except ValueError:
            if not self.exists():
                raise NotReady(f"{self.place}: no table there; run what makes it") from None
            raise

    @property
    def _files(self) -> TableFiles:
        return files_of(self.place)

    @property
    def _options(self) -> dict[str, str] | None:
        return lance_options() if is_url(self.place) else None

    @property
    def _uri(self) -> str:
        return str(
            self.place if is_url(self.place) else self.path.absolute()
        )  # a relative one may look like an address
