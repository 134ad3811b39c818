"""Where a photo is: a web address or a file, read from what a table or a feed says of it.

Tables and feeds are written by others. What they say is text, not trust: a path must lie in the folder that relative
paths start at, links resolved, or in one that params name; which hosts may be asked is a matter of `network`.
"""

import errno
import os
import re
import stat
import unicodedata
import urllib.parse
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

OUTSIDE = "path outside the folder"
FOLDERS_KNOWN = 100_000  # whose real place is remembered
_NAMED = ("ftp", "ftps", "sftp", "s3", "gs", "gcs", "az", "abfs", "hdfs")  # others may be any text
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
# What stands by itself; anything else is a path that starts at the source's folder or address. In RE2's words.
_ABSOLUTE = r"^\s*(/|~/|\\\\|[A-Za-z]:[\\/]|[A-Za-z][A-Za-z0-9+.-]*://|(?i:https?|file|data):)"

_REASONS = {
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file",
    errno.EISDIR: "is a folder",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.ELOOP: "a circle of links",
    errno.ENAMETOOLONG: "name too long",
}


class Refused(Exception):
    """A locator leads nowhere that may be asked; the message is the photo's short reason, and final."""


class Missing(Exception):
    """No file can be read where a locator leads just now; the message is the photo's short reason.

    passing: it may well be read the next time.
    """

    def __init__(self, reason: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.passing = passing


def start(given: str, beside: Path) -> str:
    """Return what relative paths start at: an address, or the absolute path of the folder `beside` or `given`.

    given: a parameter; it may begin with ~/ and is trusted.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", given):
        return given.rstrip("/")
    return str((beside / os.path.expanduser(given)).absolute())


def placed(given: pa.Array | pa.ChunkedArray, base: str) -> pa.Array | pa.ChunkedArray:
    """Put `base` before what is a relative path; addresses and absolute paths stay as they are."""
    absolute = pc.match_substring_regex(given, _ABSOLUTE)
    return pc.if_else(absolute, given, pc.binary_join_element_wise(base.rstrip("/"), given, "/"))


def address(locator: str) -> str | None:
    """Return the web address that a locator is, None of a path; `Refused` when it is neither."""
    locator = locator.strip()
    if _WINDOWS.match(locator):
        raise Refused("path of a Windows machine")
    if locator.startswith("//"):
        locator = f"https:{locator}"
    found = _SCHEME.match(locator)
    scheme = found[1].lower() if found else ""
    if scheme in ("http", "https"):
        if not locator.startswith("//", len(scheme) + 1):
            raise Refused("bad address")
        place, mark, query = locator.partition("?")
        return place.replace("\\", "/") + mark + query  # as browsers read it
    if scheme == "data" or (scheme != "file" and locator.startswith("://", len(scheme))):
        known = f": {scheme}" * (scheme == "data" or scheme in _NAMED)
        raise Refused(f"scheme not supported{known}" if scheme else "bad address")
    return None


def host(locator: str) -> str:
    """Return the host (with port) that a limit is counted for, "" of a file and of what cannot be asked."""
    try:
        found = address(locator)
    except Refused:
        return ""
    return found.split("/", 3)[2].rpartition("@")[2].lower() or "?" if found else ""


def climbs(url: str, base: str) -> bool:
    """Whether an address that was placed under the address `base` leaves it by its dots."""
    if not base or not url.startswith(f"{base.rstrip('/')}/"):
        return False
    depth = 0
    path = url[len(base.rstrip("/")) + 1 :].split("?")[0].split("#")[0]
    for part in urllib.parse.unquote(path).replace("\\", "/").split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            return True
    return False


class Disk:
    """The folders of this machine that photos may be read from: `base` and those that params allow."""

    def __init__(self, base: str, allowed: Iterable[str] = ()) -> None:
        self.base = "" if "://" in base else base
        self.roots = [os.path.realpath(os.path.expanduser(root)) for root in (self.base, *allowed) if root]
        self.folders: dict[str, tuple[str, bool]] = {}  # as written -> where it really is, and whether that is allowed

    def find(self, locator: str) -> tuple[str, os.stat_result]:
        """Return the real path of a locator's file, and its status; `Refused` or `Missing` say why there is none.

        A name is tried as it is written first. Only when there is none it is read as another system may have meant it:
        with the other form of its accents, with backslashes between folders, with its %20 as a space.
        """
        spellings = _spellings(locator, self.base)
        try:
            return self._look(next(spellings))
        except FileNotFoundError as error:
            absent = error
        except OSError as error:
            raise missing(error) from error
        except ValueError as error:
            raise Refused("bad path") from error
        found: dict[tuple[int, int], tuple[str, os.stat_result]] = {}
        for path in spellings:
            try:
                real, status = self._look(path)
            except (OSError, ValueError):
                continue
            found[status.st_dev, status.st_ino] = real, status
        if len(found) > 1:
            raise Missing("more than one file may be meant")
        if found:
            return next(iter(found.values()))
        raise missing(absent) from absent

    def stamp(self, locator: str) -> str:
        """Return what differs when the file of a locator was written again, "" of an address or where there is none."""
        head, _, name = locator.rpartition("/")
        real, allowed = self.folders.get(head, ("", False))
        try:
            if allowed and locator.isascii() and "\\" not in locator and "%" not in locator:  # the common case, quickly
                status = os.lstat(f"{real}/{name}")
                if stat.S_ISREG(status.st_mode):
                    return etag(status)
            if address(locator) is None:
                return etag(self.find(locator)[1])
        except (Refused, Missing, OSError, ValueError):
            pass
        return ""

    def _look(self, path: str) -> tuple[str, os.stat_result]:
        head, _, name = path.rpartition("/")
        if name in ("", ".", ".."):
            head, name = path, ""
        real, allowed = self._folder(head or "/")
        if not allowed:
            raise Refused(OUTSIDE)
        status = os.lstat(f"{real}/{name}" if name else real)
        if not stat.S_ISLNK(status.st_mode):
            return (f"{real}/{name}" if name else real), status
        real = os.path.realpath(f"{real}/{name}")
        if not self._within(real):
            raise Refused(OUTSIDE)
        return real, os.stat(real)

    def _folder(self, path: str) -> tuple[str, bool]:
        if (known := self.folders.get(path)) is None:
            if len(self.folders) >= FOLDERS_KNOWN:
                self.folders.clear()
            real = os.path.realpath(path)
            known = self.folders[path] = (real, self._within(real))
        return known

    def _within(self, real: str) -> bool:
        return any(real == root or real.startswith(root.rstrip("/") + "/") for root in self.roots)


def stamps(photos: pa.Table, base: str, allowed: Iterable[str]) -> dict[str, str]:
    """Return photo_id -> what differs when its file was written again, "" of an address, for `listing.PHOTOS`."""
    disk = Disk(base, allowed)
    pairs = zip(photos["photo_id"].to_pylist(), photos["locator"].to_pylist(), strict=True)
    return {photo_id: disk.stamp(locator) for photo_id, locator in pairs}


def etag(status: os.stat_result) -> str:
    """Return what differs when a file was written again: its time and size."""
    return f"{status.st_mtime_ns}-{status.st_size}"


def _spellings(locator: str, base: str) -> Iterator[str]:
    """Return the paths that a locator may mean, as it is written first; the source's own folder is not respelt."""
    path = locator.strip() if not locator.startswith(base or "/") else locator
    if path[:5].lower() == "file:":
        parts = urllib.parse.urlsplit(path)
        if parts.netloc.lower() not in ("", "localhost") or not parts.path.startswith("/"):
            raise Refused("bad address")
        path = os.fsdecode(urllib.parse.unquote_to_bytes(parts.path))  # a name may be of any bytes
    elif path.startswith("~/"):
        path = os.path.expanduser(path)
    yield path
    start = f"{base.rstrip('/')}/" if base else ""
    start = start if path.startswith(start) else ""
    rest = path[len(start) :]
    if rest.isascii() and "\\" not in rest and "%" not in rest:
        return
    tried = {rest}
    for slashed in (rest, rest.replace("\\", "/")):
        for decoded in (slashed, urllib.parse.unquote(slashed)):
            for form in (decoded, *(unicodedata.normalize(name, decoded) for name in ("NFC", "NFD"))):
                if form not in tried:
                    tried.add(form)
                    yield start + form


def missing(error: OSError) -> Missing:
    """Say why a file cannot be read."""
    reason = _REASONS.get(error.errno or 0, "not readable")
    return Missing(reason, passing=reason in ("not readable", "no permission"))
