"""Keys that let a client write: only their hashes are kept, and whoever holds one is known by its name."""

import base64
import datetime
import hashlib
import hmac
import json
import re
import secrets
from pathlib import Path
from typing import Any

from visnet.errors import Damaged
from visnet.pipeline.reports import DATA
from visnet.storage import atomic

FILE = "keys.json"
PREFIX = "vn_"
NAME = re.compile(r"[\w.-]{1,64}")


def add(name: str, data: Path = DATA) -> str:
    """Make a key and return it; nobody can tell it again. `ValueError` for a name that is taken or none."""
    if not NAME.fullmatch(name):
        raise ValueError(f"name {name[:80]!r}: 1 to 64 letters, digits, dots, dashes or underscores are allowed")
    known = _read(data / FILE)
    if any(one["name"] == name for one in known):
        raise ValueError(f"a key is called {name!r} already; add another one, or remove that first")
    key = PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    _write(data / FILE, [*known, {"name": name, "sha256": _hash(key), "created": now}])
    return key


def names(data: Path = DATA) -> list[tuple[str, str]]:
    """Return name and day of each key."""
    return [(one["name"], one["created"]) for one in _read(data / FILE)]


def remove(name: str, data: Path = DATA) -> None:
    """Let a key write no more; `ValueError` for an unknown one."""
    known = _read(data / FILE)
    left = [one for one in known if one["name"] != name]
    if len(left) == len(known):
        there = ", ".join(one["name"] for one in known) or "none"
        raise ValueError(f"no key is called {name[:80]!r}; there are {there}")
    _write(data / FILE, left)


class Keys:
    """The keys of now: the file is read again whenever it is another one."""

    def __init__(self, data: Path) -> None:
        self._file, self._stamp = data / FILE, (0, 0, 0)
        self._known: list[dict[str, str]] = []

    def holder(self, key: str) -> str | None:
        """Return the name of a key, None if it is none; it takes as long whichever it is."""
        self._look()
        given, found = _hash(key).encode(), None
        for one in self._known:
            if hmac.compare_digest(given, one["sha256"].encode()):
                found = one["name"]
        return found

    def _look(self) -> None:
        try:
            status = self._file.stat()
        except FileNotFoundError:
            self._known, self._stamp = [], (0, 0, 0)
            return
        stamp = status.st_ino, status.st_mtime_ns, status.st_size
        if stamp != self._stamp:
            self._known, self._stamp = _read(self._file), stamp


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()  # of 256 random bits: none can be guessed


def _read(file: Path) -> list[dict[str, str]]:
    try:
        found: Any = json.loads(file.read_bytes())
    except FileNotFoundError:
        return []
    except ValueError:
        found = None
    wanted = {"name", "sha256", "created"}
    rows = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(rows, list) or not all(isinstance(one, dict) and wanted <= one.keys() for one in rows):
        raise Damaged(f"{file} is not what `visnet keys add` writes; remove it, and add the keys anew")
    return rows


def _write(file: Path, rows: list[dict[str, str]]) -> None:
    with atomic.writing(file) as building:
        building.touch(mode=0o600)
        building.chmod(0o600)
        building.write_text(json.dumps({"keys": rows}, indent=1) + "\n", encoding="utf-8")
