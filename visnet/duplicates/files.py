"""The tables of pairs and of hashes, and the file of confirmed groups, which is published with the catalog."""

import json
from collections.abc import Mapping
from pathlib import Path

from visnet.storage import atomic

TABLE, HASHES = "duplicates.lance", "photos.lance"
FILE = "duplicate_groups.json"  # product -> its group; not there where nobody has confirmed a pair


def write(folder: Path, groups: Mapping[str, str]) -> None:
    """Write the groups into a folder, or no file where there are none; equal groups are equal bytes."""
    path, text = folder / FILE, json.dumps(dict(sorted(groups.items())), indent=1, ensure_ascii=False) + "\n"
    if not groups:
        path.unlink(missing_ok=True)
    elif not path.exists() or path.read_text(encoding="utf-8") != text:
        atomic.put_text(path, text)


def read(folder: Path) -> dict[str, str]:
    """Read the groups of a folder, none where there is no file."""
    try:
        found: dict[str, str] = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found
