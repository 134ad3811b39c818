"""JPEG files as they are found: whether they hold all of their pixels, judged before and while they are decoded.

libjpeg fills what is missing with grey and says so by a warning that Pillow hides. But it also waits for bytes as long
as it has not met a marker: a scan whose end marker is taken away is decoded if and only if all its pixels are there.
"""

import re
from dataclasses import dataclass, field

EOI, SOS, DHT, DQT, DRI, APP0, APP1, ADOBE = 0xD9, 0xDA, 0xC4, 0xDB, 0xDD, 0xE0, 0xE1, 0xEE
BASELINE, PROGRESSIVE = (0xC0, 0xC1), 0xC2
FRAMES = {*range(0xC0, 0xD0)} - {DHT, 0xC8, 0xCC}
ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # what ends a scan's data: neither a stuffed 0xFF nor a restart
RESTART = re.compile(rb"\xff[\xd0-\xd7]")
LOOK_AHEAD = bytes(8)  # so many bytes more than it uses libjpeg may ask for
# Flipped bits shift the pixels after them, so that a scan may end a little early; browsers show such a photo.
SHARE_MISSING_MAX = 0.02


@dataclass(frozen=True)
class Scan:
    """A file ready to be decoded: `data` fails to decode exactly if pixels are missing.

    cut: it has no end marker. missing: it is known beforehand that most pixels are. working_bytes: what the decoder
    needs for each pixel beside the picture.
    """

    data: bytes
    cut: bool = False
    missing: bool = False
    working_bytes: float = 0.0
    sequential: bool = False


@dataclass
class _Frame:
    kind: int = 0
    width: int = 0
    height: int = 0
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)  # component -> horizontal, vertical
    shortest: dict[int, int] = field(default_factory=dict)  # DC table -> bits of its shortest code
    exact: dict[tuple[int, int], int] = field(default_factory=dict)  # component, coefficient -> bits still missing
    scans: int = 0
    missing: bool = False

    def blocks(self, component: int) -> int:
        across, down = self.sampling[component]
        most_across, most_down = (max(pair[i] for pair in self.sampling.values()) for i in (0, 1))
        return -(-self.width * across // (8 * most_across)) * -(-self.height * down // (8 * most_down))

    @property
    def whole_script(self) -> bool:
        """Whether a progressive file has come to the last bits of every coefficient."""
        return all(self.exact.get((component, k), 1) == 0 for component in self.sampling for k in range(64))


def scan(data: bytes) -> Scan:
    """Read the segments of a JPEG file; what is no such file, or is broken, is left to the decoder as it is."""
    frame = _Frame()
    try:
        end, ended = _walk(data, frame)
        samples = sum(frame.blocks(c) for c in frame.sampling) * 64 / (frame.width * frame.height)
    except (IndexError, KeyError, ValueError, ZeroDivisionError):  # the file ends in a header, or names what it has not
        return Scan(data)
    if frame.kind in BASELINE and frame.scans == 1:
        begin, stop = end
        tail = data[max(begin, stop - int((stop - begin) * SHARE_MISSING_MAX)) : stop] if ended else b""
        return Scan(data[:stop] + RESTART.sub(b"", tail) + LOOK_AHEAD, cut=not ended, sequential=True)
    if not ended and frame.kind == PROGRESSIVE and frame.whole_script:
        return Scan(data + bytes((0xFF, EOI)), missing=frame.missing, working_bytes=2 * samples)
    return Scan(data, cut=not ended, missing=frame.missing, working_bytes=2 * samples)


def pixels_alone(data: bytes) -> bytes | None:
    """Return a baseline JPEG of one scan without what is no picture: metadata, comments, and whatever follows its end.

    It has the same pixels. None for any other file, of more than three colours, or with EXIF or XMP, which may turn it.
    """
    parts, at = [b"\xff\xd8"], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4])
        body = data[at + 4 : end]
        if kind in (EOI, APP1, 0x00, 0xFF, *ALONE):
            return None
        if kind in FRAMES and (kind not in BASELINE or body[5:6] not in (b"\x01", b"\x03")):
            return None
        if kind in (*BASELINE, SOS, DHT, DQT, DRI, APP0, ADOBE):
            parts.append(data[at:end])
        if kind == SOS:
            found = MARKER.search(data, end)
            whole = len(body) >= 6 and len(body) == 4 + 2 * body[0] and body[-2] == 63  # all coefficients
            if found is None or data[found.end() - 1] != EOI or not whole:
                return None
            return b"".join([*parts, data[end : found.end()]])
        at = end
    return None


def _walk(data: bytes, frame: _Frame) -> tuple[tuple[int, int], bool]:
    """Fill in the frame; return where the data of the last scan begins and ends, and whether an end marker follows."""
    at, last = 2, (0, 0)
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            break
        kind = data[at + 1]
        if kind in (0x00, 0xFF) or kind in ALONE:
            at += 1 if kind == 0xFF else 2
            continue
        if kind == EOI:
            return _found(last), True
        body = data[at + 4 : at + 2 + int.from_bytes(data[at + 2 : at + 4])]
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
        if kind == DHT:
            _tables(body, frame)
        elif kind in FRAMES:
            frame.kind, frame.height, frame.width = kind, int.from_bytes(body[1:3]), int.from_bytes(body[3:5])
            frame.sampling = {body[i]: (body[i + 1] >> 4, body[i + 1] & 15) for i in range(6, 6 + 3 * body[5], 3)}
        elif kind == SOS:
            found = MARKER.search(data, at)
            last = (at, found.start() if found else len(data))
            _scan(body, last, frame)
            if frame.kind in BASELINE and frame.scans == 1 and body[0] == len(frame.sampling):
                return last, found is not None
            at = last[1]
    return _found(last), False


def _found(last: tuple[int, int]) -> tuple[int, int]:
    if last == (0, 0):
        raise IndexError("no scan")
    return last


def _tables(body: bytes, frame: _Frame) -> None:
    at = 0
    while at < len(body):
        counts = body[at + 1 : at + 17]
        if body[at] < 16:  # of the DC coefficients
            frame.shortest[body[at]] = 1 + next((bits for bits, count in enumerate(counts) if count), 0)
        at += 17 + sum(counts)


def _scan(body: bytes, where: tuple[int, int], frame: _Frame) -> None:
    """Note what a scan brings, and whether its data can be as much as its blocks need at the very least."""
    components = {body[i]: body[i + 1] >> 4 for i in range(1, 1 + 2 * body[0], 2)}
    first, last, bits = body[-3:]
    frame.scans += 1
    frame.exact.update({(c, k): bits & 15 for c in components for k in range(first, last + 1)})
    if first == 0 and bits >> 4 == 0 and frame.kind in (*BASELINE, PROGRESSIVE):
        least = sum(frame.blocks(c) * frame.shortest[table] for c, table in components.items()) / 8
        frame.missing |= where[1] - where[0] < least * (1 - SHARE_MISSING_MAX)
