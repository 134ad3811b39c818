"""What a service must tell apart is a class of its own, and a `ValueError` to everybody else."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from visnet import errors
from visnet.photos import codec
from visnet.serving import catalog, versions
from visnet.storage import integrity, locks
from visnet.storage.table import Table
from visnet.zoo import weights


def locked_twice(shop: Path) -> None:
    with locks.held(shop / "data/crops"), locks.held(shop / "data/crops"):
        pass


def one_byte_differs(shop: Path) -> None:
    data = next((shop / "data/crops/crops.lance/data").iterdir())
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    integrity.check(shop / "data/crops")


def many_pixels(shop: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    codec.check(file.getvalue(), max_pixels=1000)


CASES: list[tuple[type[ValueError], Callable[[Path], object]]] = [
    (errors.NotFound, lambda shop: versions.rollback(7, shop / "data/publish")),
    (errors.NotFound, lambda shop: weights.load(shop / "data/crops")),
    (errors.NotReady, lambda shop: catalog.open_current(shop / "elsewhere")),
    (errors.NotReady, lambda shop: Table(shop / "data/crops/other.lance").read(["crop_id"])),
    (errors.Conflict, locked_twice),
    (errors.Damaged, one_byte_differs),
    (errors.TooLarge, many_pixels),
]


@pytest.mark.parametrize(("kind", "act"), CASES)
def test_each_refusal_is_of_its_kind_and_one_line(
    kind: type[ValueError], act: Callable[[Path], object], shop: Path
) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        act(shop)
    drawn = [found for found in vars(errors).values() if isinstance(found, type)]
    assert [found for found in drawn if isinstance(caught.value, found)] == [kind]
