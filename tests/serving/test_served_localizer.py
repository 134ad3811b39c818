"""A trained localizer is a part of the version that is served; where none is trained, versions are as before."""

import shutil
from pathlib import Path

import pytest

from tests.apart import within
from tests.refreshing import numbers, refresh, served
from tests.workspace import report
from visnet.commands import deploy, verify
from visnet.errors import Damaged
from visnet.localizing.files import SETTINGS, TENSORS
from visnet.localizing.localizer import Localizer
from visnet.models.detector import Detector
from visnet.pipeline.log import SILENT
from visnet.serving import catalog, versions

SMALL = {"network": "tf_efficientnet_lite0", "side_px": 64, "frozen_blocks": 6, "width": 32}


def put_localizer(shop: Path, unsure_below: float = 0.5) -> None:
    """Leave an untrained localizer where the stage leaves a trained one."""
    folder = shop / "data/localizer"
    shutil.rmtree(folder, ignore_errors=True)  # its files are linked to a version's
    folder.mkdir()
    Localizer(Detector(**SMALL), SMALL, unsure_below).save(folder)  # type: ignore[arg-type]


@pytest.fixture
def localizing(shop: Path) -> Path:
    """The shop after a localizer was published."""
    put_localizer(shop)
    refresh(shop, "publish")
    return shop


def test_it_is_published_with_the_catalog_and_can_be_loaded_from_there(localizing: Path) -> None:
    publish = localizing / "data/publish"
    before, after = (versions.facts(publish, number)["parts"] for number in (1, 2))
    assert after.keys() - before.keys() == {"localizer"}
    assert before.items() < after.items(), "nothing else is new"
    assert report(localizing, "publish")["copied_megabytes"] == 0
    with catalog.open_current(localizing / "data") as version:
        assert version.localizer is not None
        assert Localizer.load(version.localizer).unsure_below == 0.5


def test_one_that_is_unsure_elsewhere_is_a_new_version_and_the_same_is_none(localizing: Path) -> None:
    refresh(localizing, "publish")
    assert numbers(localizing) == [1, 2]
    put_localizer(localizing, unsure_below=0.6)
    refresh(localizing, "publish")
    assert served(localizing) == 3


def test_a_version_of_a_line_without_one_has_none(shop: Path) -> None:
    with catalog.open_current(shop / "data") as version:
        assert version.localizer is None
        assert "localizer" not in version.facts()["parts"]


@pytest.mark.parametrize("file", [SETTINGS, TENSORS])
def test_deploy_brings_it_back_and_verify_reads_it(localizing: Path, file: str) -> None:
    with within(localizing):
        shutil.rmtree("data/publish")
        assert deploy.run() == "Version 1 is served"
        verify.run(SILENT)
    part = versions.folder(localizing / "data/publish", 1) / "localizer" / file
    content = bytearray(part.read_bytes())
    content[-2] ^= 1
    part.unlink()
    part.write_bytes(content)
    with within(localizing), pytest.raises(Damaged, match="its localizer is another one"):
        verify.run(SILENT)
