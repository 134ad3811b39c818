"""One scan: which tiles are read and in which order, the launches, and the survivors' table."""

import contextlib
import math

import torch
import triton
from torch import Tensor

from kernels.nearest._triton import RUN, scan_kernel
from kernels.nearest.contract import Admission
from kernels.nearest.gpu_queries import Queries
from kernels.nearest.gpu_seed import Sample, rank_of, usual_reach
from kernels.nearest.resolve import Survivors
from kernels.nearest.tiles import FEW, INTERPRETER, choose, stages

INTERPRETED = not isinstance(scan_kernel, triton.JITFunction)  # TRITON_INTERPRET=1 when triton was imported
STRIDE = RUN.value + 1  # one tile in so many is read first, and sharpens the thresholds for the others
SHARPEN_TILES = 1024  # from so many on
NEARLY_ALL = 0.9  # of the tiles; a list of so many gains less than looking into it costs
ROOM = 256  # survivors that each split's segment has room for at least
SKEW = 2  # how much more than its share one split may find


def scan(
    queries: Queries,
    least: Tensor,
    admission: Admission,
    sample: Sample,
    wanted: int,
    *,
    most: int,
    width: int | None = None,
) -> tuple[Survivors, Tensor, Tensor]:
    """Scan for the admitted rows whose bound reaches `least` [H] float32, or a sharper threshold found on the way.

    wanted: rows that must be found; most: survivors of a query there is room for while scanning; width: columns of the
    answer; what the fullest query needs where it is left out, which waits for the device. Returns the survivors, which
    queries had more than there was room for, [H] bool: of those some are returned; and how many each had, [H].
    """
    ratio = queries.ratio
    row, bound, count, least = _launch(queries, least, admission.valid, sample, wanted, most, ratio)
    taken = count.clamp(max=row.shape[2]).cumsum(1)  # of a query's splits up to each one
    full = (count > row.shape[2]).any(dim=1)
    if width is None:
        width = max(1, int(taken[:, -1].max()))
    place, found, reached = _listed(row, bound, taken, width)
    query = torch.arange(least.numel(), device=row.device)[:, None].expand_as(found)
    absent = place >= taken[:, -1:]
    if (excluded := admission.excluded(query, found)) is not None:
        absent = absent | excluded
    near, far = queries.bounds(query, found, reached, ratio)
    table = Survivors(
        found.masked_fill(absent, -1),
        near.masked_fill(absent, torch.inf),
        far.masked_fill(absent, torch.inf),
        queries.cut(least),
    )
    return table, full | (taken[:, -1] > width), count.sum(dim=1)


def _listed(row: Tensor, bound: Tensor, taken: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Move what the splits found together: places [width], and rows and bounds [H, width], which hold any beyond."""
    h, splits, room = row.shape
    place = torch.arange(width, device=row.device)
    split = torch.searchsorted(taken, place.expand(h, -1).contiguous(), right=True).clamp_(max=splits - 1)
    before = torch.nn.functional.pad(taken, (1, 0))[:, :-1].gather(1, split)
    at = split * room + (place - before).clamp_(max=room - 1)
    row, bound = row.flatten(1).gather(1, at), bound.flatten(1).gather(1, at)
    inside = place < taken[:, -1:]  # memory that nobody wrote lies beyond
    return place, row.where(inside, 0), bound.where(inside, 0.0)


def _launch(
    queries: Queries, least: Tensor, valid: Tensor | None, sample: Sample, wanted: int, most: int, ratio: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Run the kernel: row and bound [H, splits, C], the first count [H, splits] of them set; and thresholds."""
    rows, codes, device = queries.rows, queries.codes, least.device
    (g, d), h = rows.codes.shape, least.numel()
    tile, whole = choose(arch(device), codes.element_size(), h, d)
    live = None if valid is None else live_tiles(valid, tile.block_g, triton.cdiv(g, tile.block_g))
    tiles = triton.cdiv(g, tile.block_g) if live is None else live.numel()
    blocks = triton.cdiv(h, tile.block_q)
    splits = max(1, min(tiles, tile.programs * processors(device) // blocks))
    room = max(1, min((triton.cdiv(tiles, splits) + 1) * tile.block_g, max(ROOM, triton.cdiv(SKEW * most, splits))))
    row = torch.empty((h, splits, room), dtype=torch.int64, device=device)
    bound = torch.empty((h, splits, room), dtype=torch.float32, device=device)
    count = torch.zeros((h, splits), dtype=torch.int32, device=device)
    if INTERPRETED and codes.dtype != torch.int8:  # it multiplies bfloat16's bit patterns
        codes = codes.float()

    def run(tiles: int, live: Tensor | None, jump: int, skip: int, first: int) -> None:
        if tiles == 0:
            return
        scan_kernel[(blocks, splits)](
            codes, least, queries.lift, queries.inverse,  # of queries
            rows.codes, rows.scale, rows.bias, rows.length, rows.error, ratio, valid, live,  # of rows
            row, bound, count,  # outputs
            h, g, d, tiles, jump, skip, first, room,  # shapes
            codes.stride(0), *rows.codes.stride(),  # strides
            tile.block_q, tile.block_g, tile.block_d, d % tile.block_d == 0, whole,  # constants
            num_warps=tile.num_warps, num_stages=stages(tile, whole, live is not None), enable_fp_fusion=True,
        )  # fmt: skip

    with contextlib.nullcontext() if INTERPRETED else torch.cuda.device(device):
        if h <= FEW or tiles < SHARPEN_TILES:
            run(tiles, live, 1, 0, 0)
            return row, bound, count, least
        early = triton.cdiv(tiles, STRIDE)
        run(early, None if live is None else live[::STRIDE].contiguous(), STRIDE, 0, 0)
        least = _sharpened(queries, least, bound, count, sample, rank_of(wanted, early / tiles))
        late = None if live is None else live[torch.arange(tiles, device=device) % STRIDE > 0]
        run(tiles - early, late, 1, 1, 1)
        return row, bound, count, least


def _sharpened(queries: Queries, least: Tensor, bound: Tensor, count: Tensor, sample: Sample, rank: int) -> Tensor:
    """Raise thresholds to what the first tiles teach: [H] float32."""
    taken = torch.arange(bound.shape[2], device=bound.device) < count[:, :, None]
    best = bound.masked_fill(~taken, -math.inf).flatten(1)
    if rank > best.shape[1] or sample.row.numel() == 0:
        return least
    usual = best.topk(rank, dim=1, sorted=False).values.amin(dim=1)
    return torch.maximum(least, usual - 2.0 * usual_reach(queries, sample))


def live_tiles(valid: Tensor, block_g: int, tiles: int) -> Tensor | None:
    """List the tiles in which a row is valid, [tiles] int32: no other is read. None where nearly all have one."""
    padded = torch.nn.functional.pad(valid, (0, -valid.numel() % (block_g // 8)))
    live = padded.view(-1, block_g // 8).any(dim=1).nonzero()[:, 0].int()
    return None if live.numel() > NEARLY_ALL * tiles else live


def arch(device: torch.device) -> int:
    """Return the compute capability as in sm_80, or the interpreter's number."""
    if INTERPRETED:
        return INTERPRETER
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


def processors(device: torch.device) -> int:
    """Count what runs programs at once."""
    return 2 if INTERPRETED else torch.cuda.get_device_properties(device).multi_processor_count
