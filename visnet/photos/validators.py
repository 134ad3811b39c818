"""What is known of the photos that were asked for: the record they were asked at, and the HTTP validators of the bytes.

A table beside photos.lance, because Lance writes a few columns of a row only by reading its others, the photos' bytes.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa

from visnet.photos.web.download import Answer
from visnet.photos.web.request import Validators
from visnet.storage.fingerprints import HASH_COLUMNS, fingerprint
from visnet.storage.table import Table

COLUMNS = ["photo_id", "stamp", "etag", "last_modified"]
SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS] + HASH_COLUMNS)


class PhotoValidators:
    """The stamps and HTTP validators of photos, as they were when asked for last, and as answers change them.

    stale: photos that are in the table, and may have changed since they were last asked for. known_of_photo: the
    validators of those of them that are not lost. Such a photo is replaced by other bytes only. What may pass, a
    timeout say, does not take it away, and its stamp is not kept, so that it is asked for again in the next run; nor is
    that of a photo that never came.
    """

    def __init__(self, path: Path, photos: Table, stamps: Mapping[str, str], others: Iterable[str]) -> None:
        """Compare the stamps with the table at `path`; `others` are the photos that are asked for anyhow."""
        self.table, self.stamps = Table(path, "photo_id"), stamps
        known = read(self.table) if stamps else {}
        self.known = set(known)
        self.stale = {p for p, stamp in stamps.items() if _newer(stamp, known.get(p, ("",))[0])}.difference(others)
        self.present: dict[str, str] = {}  # stale photo -> content, the reason of a lost one
        if self.stale:
            rows = photos.read(["photo_id", "content"])
            pairs = zip(rows["photo_id"].to_pylist(), rows["content"].to_pylist(), strict=True)
            self.present = {photo_id: content for photo_id, content in pairs if photo_id in self.stale}
        whole = {p for p, content in self.present.items() if not content.startswith("lost ")}
        self.known_of_photo = {p: Validators(*known[p][1:]) for p in whole if p in known}
        self.changed = 0
        self.counts = {
            "asked_conditionally": sum(any(validators) for validators in self.known_of_photo.values()),
            "not_modified": 0,  # the source said so
            "same_bytes": 0,  # sent again, and the same
            "kept_stale": 0,
            "downloaded": 0,
        }
        self.downloaded_bytes = 0

    def changing(self, answers: Iterable[Answer]) -> list[Answer]:
        """Return the answers that change a row of the photos, and count them all."""
        changing = []
        for answer in answers:
            had, now = self.present.get(answer.photo_id), content(answer)
            self.counts["downloaded"] += answer.data is not None
            self.downloaded_bytes += len(answer.data or b"")
            if answer.unchanged:
                self.counts["not_modified"] += 1
            elif had == now:
                self.counts["same_bytes"] += answer.data is not None
            elif answer.passing and had is not None and not had.startswith("lost "):
                self.counts["kept_stale"] += 1
            else:
                self.changed += had is not None
                changing.append(answer)
        return changing

    def keep(self, answers: Iterable[Answer]) -> None:
        """Commit at which stamps the photos were asked for, after what came of it is committed."""
        rows = []
        for answer in answers:
            if answer.photo_id in self.stamps and not answer.passing:
                known_as = (self.stamps[answer.photo_id], *answer.validators)
                rows.append((answer.photo_id, *known_as, *[fingerprint(*known_as)] * 2))
        if rows:
            columns = [list(column) for column in zip(*sorted(rows), strict=True)]
            self.table.put(pa.table(columns, schema=SCHEMA), self.known)

    def forget(self, gone: Iterable[str]) -> None:
        """Drop what is known of photos that are gone."""
        if known := sorted(self.known.intersection(gone)):
            self.table.delete(known)


def stamp(told: str, ask_again: int) -> str:
    """Return what a photo is asked at: what is told of its changes, and how often it was said to ask for all."""
    return f"{told} asked {ask_again}" if ask_again else told


def _newer(now: str, before: str) -> bool:
    """Whether a stamp asks for the photo again; a file that has gone, of which nothing is told, does not."""
    (told, _, asked), (told_before, _, asked_before) = now.partition(" asked "), before.partition(" asked ")
    return asked != asked_before or told not in ("", told_before)


def read(table: Table) -> dict[str, tuple[str, str, str]]:
    """Return photo_id -> stamp of the record it was last asked at, etag and last_modified of the bytes that came."""
    if not table.exists():
        return {}
    columns = table.read(COLUMNS)
    photo_ids, *values = (columns[name].to_pylist() for name in COLUMNS)
    return dict(zip(photo_ids, zip(*values, strict=True), strict=True))


def content(answer: Answer) -> str:
    """Return what the digest of a photo's row is made of: the hash of its bytes, or why it is lost."""
    return hashlib.sha256(answer.data).hexdigest()[:32] if answer.data is not None else f"lost {answer.lost}"
