"""Three hundred damaged, strange and lying files: none is a fault of the service's, and none harms its neighbour."""

import io
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from tests.photos.pictures import flag, noise, saved
from tests.serving.app.running import jpeg, photo_of, search

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
COUNT = 300


def strange() -> Iterator[bytes]:
    """Yield whole files that a careless reader trips over."""
    for side in ((1, 1), (1, 4000), (4000, 1), (3, 2)):
        yield from (saved(Image.new("RGB", side, "red"), kind) for kind in FORMATS)
    yield jpeg(flag().convert("CMYK"))
    yield from (saved(flag().convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGBA", "I;16"))
    yield from (saved(flag().convert(mode), "TIFF") for mode in ("CMYK", "F", "I"))
    frames = [flag(), noise(32, 16)]
    yield from (saved(frames[0], kind, save_all=True, append_images=frames[1:]) for kind in ("GIF", "WEBP", "TIFF"))
    for turned in range(1, 10):
        exif = Image.Exif()
        exif[0x0112] = turned
        yield jpeg(flag(), exif=exif)
    yield jpeg(flag(), progressive=True)
    yield from (
        b"",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"<svg/>",
        b"\0" * 5000,
        b"BM" + b"\xff" * 60,
    )


def huge() -> Iterator[bytes]:
    """Yield small files that say they are of many pixels."""
    for side in (20_000, 2**31 - 1, 2**32 - 1):
        head = bytearray(saved(flag(), "PNG"))
        head[16:24] = side.to_bytes(4, "big") * 2
        yield bytes(head)
    frame = bytearray(jpeg(flag()))
    at = frame.index(b"\xff\xc0")
    frame[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    yield bytes(frame)
    yield saved(Image.new("1", (30_000, 3_000)), "TIFF", compression="group4")


def damaged(rng: np.random.Generator) -> Iterator[bytes]:
    """Yield cut and changed files without an end."""
    wholes = [saved(noise(), kind) for kind in FORMATS] + [jpeg(noise(), progressive=True)]
    while True:
        data = bytearray(wholes[rng.integers(len(wholes))])
        kind = rng.integers(3)
        if kind == 0:
            yield bytes(data[: rng.integers(1, len(data))])
        elif kind == 1:
            for at in rng.integers(0, len(data), rng.integers(1, 20)):
                data[at] ^= 1 << rng.integers(8)
            yield bytes(data)
        else:
            start, stop = sorted(rng.integers(0, len(data), 2))
            yield bytes(data[:start] + rng.bytes(stop - start) + data[stop:])


def test_none_is_a_fault_and_neighbours_are_answered_as_ever(client: httpx.Client, place: Path) -> None:
    files = [*strange(), *huge()]
    rest = damaged(np.random.default_rng(1))
    files += [next(rest) for _ in range(COUNT - len(files))]
    good = photo_of(place, "p003-0-1")
    wanted = search(client, good).json()["results"]

    def ask(at: int) -> int:
        if at % 5 == 0:  # a neighbour, which may go through the network with what came beside it
            answer = search(client, good)
            assert answer.json()["results"] == wanted
        return search(client, files[at]).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = Counter(pool.map(ask, range(COUNT)))
    assert statuses.keys() <= {200, 413, 415}, statuses
    assert all(statuses[status] > 1 for status in (200, 413, 415)), statuses
    assert client.get("/readyz").status_code == 200
    for at, data in enumerate(strange()):
        with io.BytesIO(data) as file:
            if at < 24:
                assert search(client, file.getvalue()).status_code == 200, "small ones are photos, too"
