"""Four hundred damaged, forged and costly files: none is a fault of the service's, and none harms its neighbour."""

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.photos.pictures import saved
from tests.serving.app import hostile
from tests.serving.app.running import photo_of, search

COUNT = 400
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of broken EXIF and TIFF


def test_none_is_a_fault_and_neighbours_are_answered_as_ever(client: httpx.Client, place: Path) -> None:
    files = list(itertools.islice(hostile.files(1), COUNT))
    assert {kind for kind, _ in files} == {make.__name__ for make in hostile.KINDS}
    good = photo_of(place, "p003-0-1")
    wanted = search(client, good).json()["results"]

    def ask(at: int) -> int:
        if at % 5 == 0:  # a neighbour, which may go through the network with what came beside it
            assert search(client, good).json()["results"] == wanted
        return search(client, files[at][1]).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = Counter(pool.map(ask, range(COUNT)))
    assert statuses.keys() <= {200, 413, 415}, statuses
    assert all(statuses[status] > 9 for status in (200, 413, 415)), statuses
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_smallest_and_the_thinnest_are_photos_too(client: httpx.Client, kind: str) -> None:
    for side in ((1, 1), (1, 4000), (4000, 1), (3, 2)):
        found = search(client, saved(Image.new("RGB", side, "red"), kind))
        assert found.status_code == 200
        assert (found.json()["photo"]["width"], found.json()["photo"]["height"]) == side
