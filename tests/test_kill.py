"""Kill -9 at a random moment of each stage, run again: the digest is that of an undisturbed run."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.workspace import environment, report, visnet
from visnet.stage import STAGES

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
    done = visnet(shop, stage)
    assert done.returncode == 0, done.stderr
    said = report(shop, stage)
    if stage == "trained_model":
        assert said["epochs"] == wanted["epochs"]
        assert (shop / "data/trained_model/model.safetensors").exists()
    elif stage == "evaluation":
        assert said["recall_at_1"] == wanted["recall_at_1"]
    else:
        assert said["digest"] == wanted["digest"]
    assert not list((shop / "data").glob("*.building"))
    assert not list((shop / "reports").glob("*.building"))


def clear(shop: Path, stage: str) -> None:
    """Take away what the stage made."""
    shutil.rmtree(shop / "data" / stage)
    (shop / "reports" / f"{stage}.json").unlink()


def kill_at(shop: Path, stage: str, moment_s: float) -> bool:
    """Start the stage, and kill it so long after its first sign of work (its artefact, or the folder it builds in)."""
    child = subprocess.Popen(
        [sys.executable, "-m", "visnet", stage],
        cwd=shop,
        env=environment(),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    signs = [shop / "data" / stage, shop / "data" / f"{stage}.building"]
    before = {sign: sign.stat().st_mtime_ns for sign in signs if sign.exists()}
    deadline_s = time.monotonic() + 120
    while child.poll() is None and time.monotonic() < deadline_s:
        if before or any(sign.exists() for sign in signs):
            break
        time.sleep(0.02)
    if before:
        time.sleep(2.0)  # what the interpreter needs to come to work again
    time.sleep(moment_s)
    alive = child.poll() is None
    if alive:
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    return alive
