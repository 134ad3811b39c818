"""Which content is published: a small file of digests that DVC keeps, while readers stand in the versions themselves.

`publish` writes it as its output. What is *served* is another matter, and this machine's own: `visnet deploy` brings
that to what the file says, after any checkout, pull, copy or restore.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from visnet.errors import Damaged, NotReady
from visnet.storage import atomic

NAME = "published.json"
LOCK = "dvc.lock"

Parts = dict[str, str]  # crops, embeddings, knn, model and, where the line has them, catalog, calibration, … -> digest


def path_of(publish: Path) -> Path:
    """Return where the file is: beside the folder of the versions."""
    return publish.with_name(NAME)


def write(publish: Path, parts: Mapping[str, str], digest: str) -> None:
    """Write what is published, whole or not at all; equal content is equal bytes on any machine."""
    atomic.put_json(path_of(publish), {"digest": digest, "parts": dict(sorted(parts.items()))})


def found(publish: Path) -> Parts | None:
    """Read what is published, None where nothing was; `ValueError` says what to type when that is not as checked out.

    That is told by dvc.lock, where there is one: after a `git checkout` without `dvc checkout` it names another file.
    """
    path = path_of(publish)
    listed = _listed(path)
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        if listed is None:
            return None
        raise NotReady(f"{path} is missing: run `dvc checkout`, or in a fresh clone `dvc pull`") from None
    try:
        parts = json.loads(text)["parts"]
        if not isinstance(parts, dict):
            raise TypeError
    except (ValueError, TypeError, KeyError):
        raise Damaged(f"{path} is damaged: run `dvc checkout --force {path}`") from None
    if listed is not None and listed != hashlib.md5(text, usedforsecurity=False).hexdigest():
        raise NotReady(
            f"{path} is not the one that {LOCK} lists: run `dvc checkout` after a `git checkout`, else `dvc repro`"
        )
    return parts


def _listed(path: Path) -> str | None:
    """Return the MD5 that dvc.lock has of the file, None where it has none."""
    lock = path.parent.parent / LOCK
    try:
        stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages") or {}
    except FileNotFoundError:
        return None
    except (yaml.YAMLError, AttributeError):
        raise ValueError(
            f"{lock}: not what DVC writes (is a merge under way?); `git checkout HEAD -- {LOCK}`"
        ) from None
    name = f"{path.parent.name}/{path.name}"
    outs = [out for row in stages.values() for out in row.get("outs", []) if out.get("path") == name]
    return next((str(out["md5"]) for out in outs if "md5" in out), None)
