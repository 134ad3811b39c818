"""Tuning as data: the tiles of the Triton kernel by architecture, type of the scan, and number of queries.

Every entry is compiled by `aot.py` and must not spill. The entries for 80 stay within 99 KiB of shared memory, which
every GPU since Ampere has, and so serve all architectures that have none of their own. Few queries are bound by memory:
their tiles are small in queries. Many are bound by tensor cores and by what the second-level cache delivers: their
tiles are as large as registers allow.
The entries for 90 of up to 64 queries, and float32's, were the fastest of some 60 on an H200 (10 million rows, D 512):
many rows in short steps of D reach the speed of its memory, where tiles that hold all of D at once reached 0.7 of it,
int8's apart. Those for 80 and 100 have not run anywhere; they follow from what the compiler says.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Tile:
    """One launch configuration: rows of a tile of queries and of gallery, depth of a step in D, warps, stages.

    programs: how many run at once on one processor.
    """

    block_q: int
    block_g: int
    block_d: int
    num_warps: int
    num_stages: int
    programs: int = 1


INTERPRETER = 0  # Triton's interpreter, which spends seconds on tiles that a GPU likes
FEW, SOME, MANY = 16, 64, 1 << 30  # queries up to which an entry is meant

CHUNKED = 1 << 30  # any D, in several steps

# (architecture, bytes of a value, at most so many queries, at most such a D, which is then held whole)
TILES: dict[tuple[int, int, int, int], Tile] = {
    (INTERPRETER, 1, MANY, CHUNKED): Tile(16, 16, 32, num_warps=1, num_stages=1),
    (INTERPRETER, 4, MANY, CHUNKED): Tile(16, 16, 16, num_warps=1, num_stages=1),
    (INTERPRETER, 4, FEW, 16): Tile(16, 16, 16, num_warps=1, num_stages=1),
    (80, 1, FEW, 512): Tile(16, 64, 512, num_warps=4, num_stages=3),
    (80, 1, FEW, CHUNKED): Tile(16, 64, 256, num_warps=4, num_stages=4),
    (80, 1, MANY, CHUNKED): Tile(64, 128, 128, num_warps=8, num_stages=3),
    (80, 2, FEW, 512): Tile(16, 32, 512, num_warps=4, num_stages=3),
    (80, 2, FEW, CHUNKED): Tile(16, 64, 128, num_warps=4, num_stages=4),
    (80, 2, MANY, CHUNKED): Tile(64, 128, 64, num_warps=8, num_stages=3),
    (80, 4, FEW, CHUNKED): Tile(16, 64, 64, num_warps=4, num_stages=4),
    (80, 4, MANY, CHUNKED): Tile(64, 64, 32, num_warps=8, num_stages=4),
    (90, 1, FEW, 512): Tile(16, 64, 512, num_warps=4, num_stages=3, programs=2),
    (90, 1, FEW, CHUNKED): Tile(16, 128, 256, num_warps=4, num_stages=4),
    (90, 1, SOME, CHUNKED): Tile(64, 128, 128, num_warps=4, num_stages=4, programs=2),
    (90, 1, MANY, 512): Tile(128, 128, 512, num_warps=8, num_stages=2),
    (90, 1, MANY, CHUNKED): Tile(128, 128, 128, num_warps=8, num_stages=4),
    (90, 2, FEW, CHUNKED): Tile(16, 256, 64, num_warps=8, num_stages=4),
    (90, 2, SOME, CHUNKED): Tile(64, 128, 64, num_warps=4, num_stages=4, programs=2),
    (90, 2, MANY, 128): Tile(128, 256, 128, num_warps=8, num_stages=3),
    (90, 2, MANY, 256): Tile(128, 128, 256, num_warps=8, num_stages=2),
    (90, 2, MANY, CHUNKED): Tile(128, 256, 64, num_warps=8, num_stages=4),
    (90, 4, FEW, CHUNKED): Tile(16, 256, 32, num_warps=8, num_stages=4),
    (90, 4, SOME, CHUNKED): Tile(64, 128, 32, num_warps=4, num_stages=4, programs=2),
    (90, 4, MANY, 128): Tile(128, 128, 128, num_warps=8, num_stages=2),
    (90, 4, MANY, CHUNKED): Tile(128, 256, 32, num_warps=8, num_stages=3),
    (100, 1, FEW, 512): Tile(16, 128, 512, num_warps=4, num_stages=3),
    (100, 1, FEW, CHUNKED): Tile(16, 128, 256, num_warps=4, num_stages=4),
    (100, 1, SOME, 512): Tile(64, 64, 512, num_warps=8, num_stages=3),
    (100, 1, MANY, CHUNKED): Tile(128, 64, 64, num_warps=8, num_stages=4),
    (100, 2, FEW, 512): Tile(16, 64, 512, num_warps=4, num_stages=3),
    (100, 2, FEW, CHUNKED): Tile(16, 128, 128, num_warps=4, num_stages=4),
    (100, 2, SOME, 512): Tile(64, 64, 512, num_warps=8, num_stages=2),
    (100, 2, SOME, CHUNKED): Tile(64, 128, 64, num_warps=4, num_stages=4, programs=2),
    (100, 2, MANY, CHUNKED): Tile(128, 64, 64, num_warps=8, num_stages=4),
    (100, 4, FEW, 512): Tile(16, 32, 512, num_warps=4, num_stages=3),
    (100, 4, FEW, CHUNKED): Tile(16, 64, 128, num_warps=4, num_stages=4),
    (100, 4, SOME, CHUNKED): Tile(64, 128, 32, num_warps=4, num_stages=4, programs=2),
    (100, 4, MANY, CHUNKED): Tile(128, 64, 32, num_warps=8, num_stages=4),
}

LARGE_SHARED = {90: 90, 100: 100, 103: 100}  # architectures with 227 KiB of shared memory, and whose entries they take


def choose(arch: int, item_bytes: int, queries: int, d: int) -> tuple[Tile, bool]:
    """Choose the tile of a scan, and say whether it holds all of D.

    arch: compute capability as in sm_80; item_bytes: of the scanned type; queries: of the launch.
    """
    key = chosen_key(arch, item_bytes, queries, d)
    if key[3] == CHUNKED:
        return TILES[key], False
    return replace(TILES[key], block_d=max(32 if item_bytes == 1 else 16, 1 << (d - 1).bit_length())), True


def chosen_key(arch: int, item_bytes: int, queries: int, d: int) -> tuple[int, int, int, int]:
    """Return the key of the entry that `choose` takes."""
    family = LARGE_SHARED.get(arch, min(arch, 80))
    width = 4 if family == INTERPRETER and item_bytes > 1 else item_bytes
    return min(key for key in TILES if key[:2] == (family, width) and queries <= key[2] and d <= key[3])


def stages(tile: Tile, whole: bool, listed: bool) -> int:
    """Say how many stages the compiler needs to keep as many tiles under way, be they listed or counted."""
    return tile.num_stages + 2 * (whole and listed)
