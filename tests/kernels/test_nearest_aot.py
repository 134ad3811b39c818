"""Every tuning entry compiles for its architecture without a GPU, and none spills; and what that predicts."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kernels.nearest.tiles import CHUNKED, FEW, INTERPRETER, MANY, SOME, TILES, choose, stages

ROOT = Path(__file__).parents[2]
# The filtered kernel is the larger; bf16 stands for both 16-bit types. `python -m kernels.nearest.aot` compiles all.
SCRIPT = """
import dataclasses, json
from kernels.nearest import aot, roofline
for build in aot.builds(filtered=(True,), dtypes=("i8", "bf16", "fp32")):
    tile = build.tile
    needed = 2 * tile.block_q * tile.block_g * tile.block_d
    extra = {"problems": aot.problems(build), "flops": roofline.product_flops(build) / needed}
    print(json.dumps({**dataclasses.asdict(dataclasses.replace(build, ptx="")), **extra}))
for build in aot.score_builds():
    print(json.dumps({"scores": build.metric, "arch": build.arch, "problems": aot.score_problems(build)}))
"""


@pytest.mark.aot
def test_every_entry_compiles_without_spilling():
    """What Triton has compiled of these very sources, tiles and types before, it finds in its own cache."""
    pytest.importorskip("triton")
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env=env, capture_output=True, text=True, timeout=400
    )
    assert result.returncode == 0, result.stderr[-4000:]
    found = [json.loads(line) for line in result.stdout.splitlines()]
    scored = [build for build in found if "scores" in build]
    assert [build["problems"] for build in scored] == [[]] * (3 * 4 * 3)  # architectures, types, metrics
    found = [build for build in found if "scores" not in build]
    assert len(found) == sum(key[0] != INTERPRETER for key in TILES)
    assert {build["arch"] for build in found} == {80, 90, 100}
    for build in found:
        assert build["problems"] == [], build
        assert 0 < build["registers"] <= 255, build
        # The product is in the kernel once, neither unrolled nor padded, so bytes and operations can be counted.
        assert build["flops"] == (0 if build["matrix"] == "tcgen05" else 1), build
    hopper = {(build["dtype"], build["most_queries"]): build["matrix"] for build in found if build["arch"] == 90}
    assert {hopper[dtype, MANY] for dtype in ("i8", "bf16", "fp32")} == {"wgmma"}


def build_of(**changes):
    aot = pytest.importorskip("kernels.nearest.aot", reason="triton is not installed", exc_type=ImportError)
    tile = TILES[90, 2, MANY, CHUNKED]
    good = aot.Build(90, "bf16", MANY, CHUNKED, False, tile, 200, 0, 1 << 17, "wgmma", "max.f32")
    return aot.problems(replace(good, **changes))


def test_problems_are_seen():
    assert build_of() == []
    assert build_of(stack_bytes=8) == ["spills 8 bytes"]
    assert build_of(shared_bytes=1 << 18) == ["needs 1 x 262144 bytes of shared memory; the limit is 232448"]
    assert build_of(tile=replace(TILES[90, 2, MANY, CHUNKED], programs=2), registers=255) == [
        "needs 2 x 131072 bytes of shared memory; the limit is 232448",
        "2 programs of 255 registers do not fit",
    ]
    assert build_of(matrix="mma") == ["multiplies by mma; expected: wgmma"]
    assert build_of(ptx="max.ftz.f32") == ["flushes denormals in max"]


@pytest.mark.parametrize(
    ("arch", "item_bytes", "queries", "d", "key"),
    [
        (80, 2, 1, 512, (80, 2, FEW, 512)),
        (86, 2, 1, 513, (80, 2, FEW, CHUNKED)),
        (89, 1, 17, 512, (80, 1, MANY, CHUNKED)),
        (90, 2, 17, 512, (90, 2, SOME, CHUNKED)),
        (90, 1, 1, 512, (90, 1, FEW, 512)),
        (90, 1, 17, 512, (90, 1, SOME, CHUNKED)),
        (90, 2, 65, 512, (90, 2, MANY, CHUNKED)),
        (90, 1, 65, 512, (90, 1, MANY, 512)),
        (103, 4, 9999, 64, (100, 4, MANY, CHUNKED)),
        (120, 2, 99, 9, (80, 2, MANY, CHUNKED)),
    ],
)
def test_choose(arch, item_bytes, queries, d, key):
    tile, whole = choose(arch, item_bytes, queries, d)
    assert whole == (key[3] != CHUNKED)
    assert replace(tile, block_d=TILES[key].block_d) == TILES[key]
    assert tile.block_d == (1 << (d - 1).bit_length() if whole else TILES[key].block_d)


def test_every_scan_finds_an_entry():
    for arch in (INTERPRETER, 80, 86, 89, 90, 100, 103, 120):
        for item_bytes in (1, 2, 4):
            for queries in (1, 16, 17, 64, 65, 10_000):
                for d in (1, 32, 512, 513, 65_000):
                    tile, whole = choose(arch, item_bytes, queries, d)
                    assert tile.block_d >= (d if whole else 16)
                    assert tile.block_g % 8 == 0  # a tile's validity is whole bytes
                    assert tile.block_g <= 256  # a column's number replaces 8 bits of a bound at most
                    assert stages(tile, whole, listed=True) >= tile.num_stages


def test_predictions_follow_from_the_tiles():
    roofline = pytest.importorskip("kernels.nearest.roofline", reason="triton is not installed", exc_type=ImportError)
    one = roofline.Work(1, 10_000_000, 512, "bf16")
    tile, whole = choose(90, 2, 1, 512)
    assert roofline.predict(one, tile, whole).bound == ("memory", 10_000_000 * (1024 + 8) / 3.35e12)
    many = replace(one, q=8192)
    tile, whole = choose(90, 2, 8192, 512)
    found = roofline.predict(many, tile, whole)
    assert found.memory == roofline.predict(one, *choose(90, 2, 1, 512)).memory
    assert found.tensor >= 2.0 * 8192 * 1e7 * 512 / 989e12
