"""Predict what bounds each scan, without a GPU: `python -m kernels.nearest.roofline` counts bytes and instructions.

Nothing here is measured. Bytes and multiplications follow from the tiles, the instructions of the product from the
compiled kernel; the roofs are an H100's data sheet (SXM), except for the second-level cache, for which there is none.
"""

import re
import sys
from dataclasses import dataclass

from kernels.nearest.aot import Build, build
from kernels.nearest.tiles import Tile, choose, chosen_key

PROCESSORS = 132
MEMORY = 3.35e12  # bytes/s
CACHE = 5.5e12  # bytes/s, recalled from others' measurements of the second-level cache
TENSOR = {"i8": 1979e12, "bf16": 989e12, "fp32": 495e12}  # dense operations/s; float32 is read as TF32
LANES = 67e12 / 2.0  # float32 instructions/s of all lanes
BYTES = {"i8": 1, "bf16": 2, "fp32": 4}
SHAPE = re.compile(r"\b(?:wgmma\.mma_async|mma\.sync)\S*?\.m(\d+)n(\d+)k(\d+)")


@dataclass(frozen=True)
class Work:
    """One scan by squared distance, of int8 by cosine: queries, rows, dimensions, type, and what the issue asks for."""

    q: int
    g: int
    d: int
    dtype: str
    target_s: float | None = None

    @property
    def columns(self) -> int:
        """Bytes of a row beside its code: bias and length, or scale, length and error."""
        return 12 if self.dtype == "i8" else 8


@dataclass(frozen=True)
class Prediction:
    """Seconds that each resource needs at its roof; the largest is the bound."""

    memory: float
    cache: float
    tensor: float
    epilogue: float

    @property
    def bound(self) -> tuple[str, float]:
        """Name what bounds the scan, and the least seconds: an epilogue waits for its product, so these two add up."""
        times = {"memory": self.memory, "cache": self.cache, "tensor + epilogue": self.tensor + self.epilogue}
        name = max(times, key=times.__getitem__)
        return name, times[name]


def predict(work: Work, tile: Tile, whole: bool) -> Prediction:
    """Count what a scan moves and computes; no row is skipped, survivors are few."""
    blocks, tiles = -(-work.q // tile.block_q), -(-work.g // tile.block_g)
    depth = -(-work.d // tile.block_d) * tile.block_d
    row = work.d * BYTES[work.dtype] + work.columns
    queries = 0 if whole else tile.block_q * work.d * BYTES[work.dtype]
    scores = blocks * tile.block_q * tiles * tile.block_g
    busy = min(1.0, blocks * max(1, tile.programs * PROCESSORS // blocks) / (tile.programs * PROCESSORS))
    return Prediction(
        memory=work.g * row / MEMORY,  # tiles of queries follow each other through the cache
        cache=blocks * tiles * (tile.block_g * row + queries) / CACHE,
        tensor=2.0 * scores * depth / TENSOR[work.dtype] / busy,
        epilogue=scores * instructions_per_score(work.dtype) / LANES / busy,
    )


def instructions_per_score(dtype: str) -> int:
    """Count the epilogue's instructions on a score that no tile is stopped by.

    Multiply-add of the bias (or multiplication with the scale), of the reach, the last bits' replacement, the maximum;
    of int8 the conversion too.
    """
    return 5 if dtype == "i8" else 4


def product_flops(compiled: Build) -> int:
    """Count the multiplications and additions of one step of a tile's product in the compiled kernel; 0 if unknown."""
    shapes = [tuple(map(int, shape)) for shape in SHAPE.findall(compiled.ptx)]
    issuers = compiled.tile.num_warps // (4 if compiled.matrix == "wgmma" else 1)
    return sum(2 * m * n * k for m, n, k in shapes) * issuers


WORKS = (
    *(Work(q, 10_000_000, 512, "bf16", 10e9 * 1.024 / MEMORY / 0.85) for q in (1, 16, 64)),
    Work(512, 10_000_000, 512, "bf16", 2.0 * 512 * 1e7 * 512 / 400e12),
    Work(512, 50_000_000, 512, "bf16", 512 / 10_000),
    Work(512, 50_000_000, 512, "i8", 512 / 15_000),
    Work(64, 50_000_000, 512, "bf16", 64 / 2_000),
    Work(512, 10_000_000, 512, "fp32"),
    Work(512, 10_000_000, 4096, "bf16"),
    Work(8192, 450_000, 128, "bf16"),
)


def main() -> int:
    """Print a line for each work; return 1 if a compiled kernel multiplies more or less than its tile needs."""
    print("Predicted for one H100 (sm_90) from data-sheet roofs; nothing here is measured. Milliseconds at each roof:")
    print("   Q         G    D type  tile q/g/d    memory   cache  tensor epilogue  bound              least  target")
    failed = False
    for work in WORKS:
        tile, whole = choose(90, BYTES[work.dtype], work.q, work.d)
        compiled = build(chosen_key(90, BYTES[work.dtype], work.q, work.d), work.dtype, False)
        needed = 2 * compiled.tile.block_q * compiled.tile.block_g * compiled.tile.block_d
        wrong = product_flops(compiled) != needed
        failed |= wrong
        found = predict(work, tile, whole)
        name, least = found.bound
        times = " ".join(f"{1e3 * value:8.2f}" for value in (found.memory, found.cache, found.tensor, found.epilogue))
        target = "" if work.target_s is None else f"{1e3 * work.target_s:7.2f}"
        print(
            f"{work.q:>4} {work.g:>9} {work.d:>4} {work.dtype:<5} {f'{tile.block_q}/{tile.block_g}/{tile.block_d}':<11}"
            f" {times}  {name:<17} {1e3 * least:6.2f} {target}{'  (multiplies otherwise than its tile)' * wrong}"
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
