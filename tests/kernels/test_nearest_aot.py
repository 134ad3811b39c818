"""Every tuning entry compiles for its architecture without a GPU, and none spills."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kernels.nearest.tiles import INTERPRETER, LARGE_SHARED, TILES, choose

ROOT = Path(__file__).parents[2]
# bf16 stands for both 16-bit types here; `python -m kernels.nearest.aot` compiles fp16 as well.
SCRIPT = """
import dataclasses, json
from kernels.nearest import aot
for build in aot.builds(("bf16", "fp32")):
    print(json.dumps({**dataclasses.asdict(build), "problems": aot.problems(build)}))
"""


@pytest.mark.aot
def test_every_entry_compiles_without_spilling(tmp_path):
    pytest.importorskip("triton")
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    env["TRITON_CACHE_DIR"] = str(tmp_path)
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env=env, capture_output=True, text=True, timeout=400
    )
    assert result.returncode == 0, result.stderr[-4000:]
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(found) == sum(arch != INTERPRETER for arch, _, _ in TILES)
    assert {build["arch"] for build in found} == {80, 90}
    for build in found:
        assert build["problems"] == [], build
        assert 0 < build["registers"] <= 255, build
        assert (build["tensor_core"] == "none") == (build["dtype"] == "fp32"), build  # fp32 is IEEE, never tf32


def test_problems_are_seen():
    aot = pytest.importorskip("kernels.nearest.aot", reason="triton is not installed", exc_type=ImportError)
    tile = TILES[80, 4, 32]
    build = aot.Build(80, "fp32", 32, tile, registers=255, stack_bytes=8, shared_bytes=1 << 17, tensor_core="none")
    assert aot.problems(build) == ["spills 8 bytes", "needs 131072 bytes of shared memory; the limit is 101376"]


@pytest.mark.parametrize(
    ("arch", "item_bytes", "count", "expected"),
    [
        (80, 2, 1, (80, 2, 32)),
        (80, 4, 32, (80, 4, 32)),
        (86, 4, 33, (80, 4, 128)),
        (90, 2, 128, (90, 2, 128)),
        (100, 2, 9999, (90, 2, 128)),
        (120, 2, 9, (80, 2, 32)),
    ],
)
def test_choose(arch, item_bytes, count, expected):
    assert choose(arch, item_bytes, count) == (expected[2], TILES[expected])


def test_every_chosen_entry_is_in_the_table():
    for arch in (INTERPRETER, 80, 86, 89, 90, 100, 103, 120):
        for item_bytes in (2, 4):
            kept, tile = choose(arch, item_bytes, 20)
            assert kept <= tile.block_g  # a tile must hold as many rows as are kept of it
    assert 90 in LARGE_SHARED
