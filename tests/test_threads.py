"""Threads that wait for each other leave their cores to whoever has work."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(("chosen", "policy"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_torchs_threads_do_not_spin_unless_asked_to(chosen: dict[str, str], policy: str) -> None:
    kept = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    environment = {**kept, "OMP_DISPLAY_ENV": "true", **chosen}  # OpenMP itself says what it has read
    code = "import visnet, torch"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert f"OMP_WAIT_POLICY = '{policy}'" in done.stderr
