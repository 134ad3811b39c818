"""Photos of a change: uploaded ones kept where the feed's photos are, and any one cut as the line cuts it."""

import hashlib
import io
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from PIL import Image

from visnet.errors import TooLarge
from visnet.photos import codec, photo_file
from visnet.photos.web import locators
from visnet.photos.web.request import Failure, find_file, read_file
from visnet.pipeline.log import SILENT
from visnet.serving.live.line import Line
from visnet.sources import feed
from visnet.storage import atomic

ENDINGS = {"JPEG": "jpg", "MPO": "jpg", "JPEG2000": "jp2", "HEIF": "heic"}  # others are called like their format
FOLDER = "api"


@dataclass(frozen=True)
class CutPhoto:
    """A photo by its path or address in a record, and its crop as JPEG."""

    name: str
    jpeg: bytes


def uploaded(data: bytes, line: Line) -> CutPhoto:
    """Cut an uploaded photo, and name it by its hash, as `keep` puts it among the feed's photos.

    Errors: `Undecodable`; `TooLarge` for more bytes than the line takes.
    """
    most = line.feed.download.max_bytes
    if len(data) > most:
        raise TooLarge(f"{len(data):,} bytes; the line takes {most:,}")
    jpeg = cut(data, line)
    with photo_file.opened(photo_file.prepared(data, None)) as image:
        kind = image.format or ""
    return CutPhoto(f"{FOLDER}/{hashlib.sha256(data).hexdigest()}.{ENDINGS.get(kind, kind.lower())}", jpeg)


def keep(data: bytes, name: str, line: Line) -> None:
    """Put the bytes of an uploaded photo where the feed's photos are, and have the disk hold them."""
    place = Path(line.photos) / name
    if place.exists():
        return
    if not place.parent.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        atomic.sync(place.parent.parent)
    scratch = place.with_name(f".{place.name}.{secrets.token_hex(4)}{atomic.BUILDING}")
    scratch.write_bytes(data)
    atomic.move(scratch, place)


def cut(data: bytes, line: Line) -> bytes:
    """Return the crop that the line makes of a whole photo; `Undecodable` when it is none."""
    with codec.decoded(data, max_pixels=line.feed.download.max_pixels) as picture:
        return codec.encode(codec.fit(picture, line.side_px), line.quality)


def fetch(names: Sequence[str], line: Line) -> tuple[list[CutPhoto], dict[str, str]]:
    """Bring photos here by the line's own rules and cut them; return those that came, and why others did not.

    A file is read at once; only for an address the downloader, with its threads, is begun.
    """
    came: dict[str, CutPhoto] = {}
    lost: dict[str, str] = {}
    places = dict(zip(names, locators.placed(pa.array(names, pa.string()), line.photos).to_pylist(), strict=True))
    disk, away = locators.Disk(line.photos, line.feed.download.allow_paths), []
    for name, place in places.items():
        try:
            if locators.address(place) is not None:
                away.append((name, place))
                continue
            data = read_file(find_file(disk, place, line.feed.download))
            came[name] = CutPhoto(name, cut(data, line))
        except (locators.Refused, Failure) as error:
            lost[name] = str(error)
        except codec.Undecodable as error:
            lost[name] = f"undecodable: {error}"
    for answer in feed.fetch(line.feed, away, metadata=line.inbox, log=SILENT):
        if answer.data is None:
            lost[answer.photo_id] = answer.lost or "lost"
        else:
            came[answer.photo_id] = CutPhoto(answer.photo_id, cut(answer.data, line))
    return [came[name] for name in names if name in came], lost


def opened(jpeg: bytes) -> Image.Image:
    """Open a crop."""
    return Image.open(io.BytesIO(jpeg))
