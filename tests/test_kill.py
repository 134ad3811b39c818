"""Kill -9 at a random moment of each stage, begun from nothing, run again: the digest is that of the first build."""

import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.apart import Work
from tests.workspace import report, visnet
from visnet.pipeline.stage import STAGES

KILLS = 3


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_stage_ends_as_if_it_had_not_been(stage: str, built: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(built, tmp_path / "shop", symlinks=True))
    wanted, wall_s = report(shop, stage), report(shop, stage)["wall_s"]
    clear(shop, stage)
    moments = random.Random(stage)
    landed = attempt = 0
    while attempt < KILLS or (not landed and attempt < 4 * KILLS):
        sooner = 0.5 ** max(0, attempt - KILLS + 1)  # how long the stage took depends on what else the machine does
        if kill_at(shop, stage, moments.uniform(0.1, 0.95) * wall_s * sooner):
            landed += 1
        else:
            clear(shop, stage)
        attempt += 1
    assert landed, "every kill came too late: nothing was tested"
    done = visnet(shop, "run", stage)
    assert done.returncode == 0, done.stderr
    assert report(shop, stage)["digest"] == wanted["digest"]
    assert not list((shop / "data").glob("*.building"))
    assert not list((shop / "reports").glob("*.building"))


def clear(shop: Path, stage: str) -> None:
    """Take away what the stage made."""
    shutil.rmtree(shop / "data" / stage)
    (shop / "reports" / f"{stage}.json").unlink()


def kill_at(shop: Path, stage: str, moment_s: float) -> bool:
    """Start the stage, and kill it so long after its first sign of work (its artefact, or the folder it builds in)."""
    signs = [shop / "data" / stage, shop / "data" / f"{stage}.building"]
    resumed = any(sign.exists() for sign in signs)
    work = Work(shop, f"run {stage}")
    deadline_s = time.monotonic() + 120
    while work.alive and not resumed and not any(sign.exists() for sign in signs) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return work.end(kill_after_s=moment_s).returncode == -signal.SIGKILL
