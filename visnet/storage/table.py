"""Keyed Lance tables of which only differences are written; nothing else knows which files Lance makes.

Every table has a string key, a `source` column (hash of what the row was made from: equal means nothing to do) and
a `content` column (hash of what the row says: the digest is made of these). Commits are atomic; a kill leaves the last.
"""

import datetime
import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lance
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from visnet.errors import NotReady
from visnet.storage.fingerprints import content_digest

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
    """A table at a path, which need not be there yet; `key` may be left out of one that is: it is the first column."""

    path: Path
    key: str = ""

    def exists(self) -> bool:
        """Tell whether a committed table stands there.

        A kill in the course of its first commit leaves a manifest beside its place, as `NAME.manifest#1`: that is none.
        """
        return any((self.path / "_versions").glob("*.manifest"))

    def opened(self, version: int | None = None) -> lance.LanceDataset:
        """Open a version, the latest if none is named; `NotReady` when there is no table."""
        if not self.exists():
            raise NotReady(f"{self.path}: no table there; run the stage that makes it")
        return lance.dataset(self._uri, version=version)

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
        known = set(replaced)
        if not self.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lance.write_dataset(rows, self._uri, mode="create")
        elif rows.num_rows == 0:
            return
        elif any(key in known for key in rows[self._key()].to_pylist()):
            merge = lance.dataset(self._uri).merge_insert(self._key())
            merge.when_matched_update_all().when_not_matched_insert_all().execute(rows)
        else:
            lance.write_dataset(rows, self._uri, mode="append")
        self.check_whole()

    def delete(self, gone: list[str], at_once: int = 1000) -> None:
        """Delete rows by key."""
        for start in range(0, len(gone), at_once):
            keys = ", ".join("'" + k.replace("'", "''") + "'" for k in gone[start : start + at_once])
            lance.dataset(self._uri).delete(f"{self._key()} IN ({keys})")

    def add_columns(self, schema: pa.Schema) -> None:
        """Give a table of an older layout the columns of `schema` that it lacks, null in the rows that stand there."""
        there = self.columns
        if lacking := [column for column in schema if column.name not in there]:
            lance.dataset(self._uri).add_columns(pa.schema(lacking))

    def restore(self, version: int) -> None:
        """Commit the table as it was at `version`, unless it still is that."""
        if self.version != version:
            lance.dataset(self._uri, version=version).restore()  # type: ignore[no-untyped-call]

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
        for file in self._unnamed():
            file.unlink()
        return left

    def _unnamed(self) -> list[Path]:
        """List the files that no version names."""
        named = {self.path / name for name in self.opened().tracked_files().read_all()["path"].to_pylist()}
        there = (
            file for folder in WRITTEN if (self.path / folder).is_dir() for file in (self.path / folder).rglob("*")
        )
        return [file for file in there if file.is_file() and file not in named and file.name != _HINT]

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
        return all(
            size is None or _length(self.path / "data" / name) == size
            for fragment in self.opened().get_fragments()
            for name, size in ((file.path, file.file_size_bytes) for file in fragment.metadata.files)
        )

    def check_whole(self) -> None:
        """Raise `OSError` (no space left) when the latest commit was cut short."""
        if not self.is_whole():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path.absolute()))

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

    @property
    def _uri(self) -> str:
        return str(self.path.absolute())  # a relative one with a colon would be taken for an address


def _length(file: Path) -> int:
    return file.stat().st_size if file.exists() else -1
