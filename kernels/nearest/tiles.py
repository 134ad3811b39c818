"""Tuning as data: the tile sizes of the Triton kernel by architecture, bytes of a value, and k.

Every entry is compiled by `aot.py` and must not spill. The entries for 80 stay within 99 KiB of shared memory, which
every GPU since Ampere has, and so serve all architectures that have none of their own.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """One launch configuration: rows of a tile of queries and of gallery, depth of a step in D, warps, stages."""

    block_q: int
    block_g: int
    block_d: int
    num_warps: int
    num_stages: int


INTERPRETER = 0  # Triton's interpreter, which spends seconds on tiles that a GPU likes

# (architecture, bytes of a value, keys kept in registers)
TILES: dict[tuple[int, int, int], Tile] = {
    (INTERPRETER, 2, 8): Tile(16, 16, 16, num_warps=1, num_stages=1),
    (INTERPRETER, 4, 8): Tile(16, 16, 16, num_warps=1, num_stages=1),
    (INTERPRETER, 4, 16): Tile(16, 32, 16, num_warps=1, num_stages=1),
    (80, 2, 32): Tile(64, 128, 64, num_warps=8, num_stages=3),
    (80, 2, 128): Tile(32, 128, 32, num_warps=8, num_stages=3),
    (80, 4, 32): Tile(32, 64, 16, num_warps=8, num_stages=2),
    (80, 4, 128): Tile(16, 128, 16, num_warps=8, num_stages=2),
    (90, 2, 32): Tile(64, 128, 64, num_warps=8, num_stages=3),
    (90, 2, 128): Tile(32, 128, 64, num_warps=8, num_stages=3),
    (90, 4, 32): Tile(32, 128, 16, num_warps=8, num_stages=2),
    (90, 4, 128): Tile(16, 128, 16, num_warps=8, num_stages=2),
}

LARGE_SHARED = (90, 100, 103)  # architectures with 227 KiB of shared memory, which take the entries for 90


def choose(arch: int, item_bytes: int, count: int) -> tuple[int, Tile]:
    """Choose how many keys a pass keeps, and its tile.

    arch: compute capability as in sm_80; item_bytes: 2 or 4; count: keys wanted, and if no entry keeps so many, the
    largest is chosen.
    """
    family = 90 if arch in LARGE_SHARED else min(arch, 80)
    sizes = sorted(kept for (of, width, kept) in TILES if (of, width) == (family, item_bytes))
    kept = next((size for size in sizes if size >= count), sizes[-1])
    return kept, TILES[family, item_bytes, kept]
