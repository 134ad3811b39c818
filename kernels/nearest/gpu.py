"""The launcher of the Triton kernel: norms, bounds, splits and passes around it, then `resolve`."""

import contextlib

import torch
import triton
from torch import Tensor

from kernels.nearest import exact
from kernels.nearest._triton import nearest_scan_kernel
from kernels.nearest.bounds import FLOAT32, TENSOR_CORE, bound
from kernels.nearest.contract import Neighbors
from kernels.nearest.rescore import Answer, Candidates, margin, resolve
from kernels.nearest.tiles import INTERPRETER, choose

INTERPRETED = not isinstance(nearest_scan_kernel, triton.JITFunction)  # TRITON_INTERPRET=1 when triton was imported
ROWS_PER_LAUNCH = 2**31 - 1024  # a key holds 32 bits of row
QUERIES_PER_LAUNCH = 1 << 15  # bounds the partial results
NORM_BYTES = 64 << 20
LEAST_MARGIN = 4  # a pass keeps more than k anyway; fewer to spare than this, and it is time for a larger one
FIRST_KEY, LAST_KEY = -(2**63), 2**63 - 1


def why_not(device: torch.device) -> str:
    """Say in a few words why the kernel cannot run on this device; empty where it can."""
    if INTERPRETED:
        return (
            "" if device.type == "cpu" else f"TRITON_INTERPRET=1 is for tensors on the cpu, and these are on {device}"
        )
    if device.type != "cuda":
        return f"the tensors are on {device}; move them to cuda, or set TRITON_INTERPRET=1 before triton is imported"
    if torch.version.cuda is None:
        return "it is untried on anything but NVIDIA GPUs"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return "it needs an NVIDIA GPU of compute capability 8.0 or more"
    return ""


def search(queries: Tensor, gallery: Tensor, k: int) -> Neighbors:
    """Find the k nearest gallery rows of each query.

    queries: [Q, D]; gallery: [G, D]; 1 <= k <= G; any k, in passes of at most 128 keys. Returns [Q, k].
    """
    return answer(queries, gallery, k).neighbors


def answer(queries: Tensor, gallery: Tensor, k: int) -> Answer:
    """Like `search`, and say which queries were proven by the kernel's scan."""
    with contextlib.nullcontext() if INTERPRETED else torch.cuda.device(queries.device):
        found = _scan(queries, gallery, k)
    if found is None:
        none = torch.zeros(queries.shape[0], dtype=torch.bool, device=queries.device)
        return Answer(exact.search(queries, gallery, k), none)
    return resolve(queries, gallery, k, found)


def _scan(queries: Tensor, gallery: Tensor, k: int) -> Candidates | None:
    """Bring at least k rows of least lower bound; None where float32 has no bound for these values."""
    if queries.dtype != gallery.dtype or (INTERPRETED and queries.dtype == torch.bfloat16):
        # The kernel widens the gallery's tiles in registers. (Triton's interpreter multiplies bfloat16's bit patterns.)
        queries = queries.float()
    x_sq, y_sq = _sq_norms(queries), _sq_norms(gallery)
    unit = FLOAT32 if queries.dtype == torch.float32 else TENSOR_CORE
    error = bound(queries.shape[1], unit, float(torch.maximum(x_sq.max(), y_sq.max())))
    if error is None:
        return None
    y_sq = y_sq.mul_(error.norm_share).float()
    kept, _ = choose(_arch(queries.device), queries.element_size(), k + LEAST_MARGIN)
    count = min(gallery.shape[0], kept if kept >= k + LEAST_MARGIN else k + margin(k))
    score = torch.empty((queries.shape[0], 0), dtype=torch.float32, device=queries.device)
    row = torch.empty((queries.shape[0], 0), dtype=torch.int64, device=queries.device)
    for start in range(0, gallery.shape[0], ROWS_PER_LAUNCH):
        part = slice(start, start + ROWS_PER_LAUNCH)
        keys = torch.cat(
            [_least_keys(block, gallery[part], y_sq[part], count) for block in torch.split(queries, QUERIES_PER_LAUNCH)]
        )
        score = torch.cat((score, _score_of(keys)), dim=1)
        row = torch.cat((row, (keys & 0xFFFFFFFF) + start), dim=1)
    score, place = score.topk(count, dim=1, largest=False)
    return Candidates(row.gather(1, place), score.double() + (error.norm_share * x_sq)[:, None] - error.floor)


def _least_keys(queries: Tensor, gallery: Tensor, gallery_sq: Tensor, count: int) -> Tensor:
    """Scan for the least keys, in as many passes as it takes. Returns [Q, min(count, G)] int64, ascending."""
    q, g = queries.shape[0], gallery.shape[0]
    kept, tile = choose(_arch(queries.device), queries.element_size(), count)
    tiles = triton.cdiv(g, tile.block_g)
    blocks = triton.cdiv(q, tile.block_q)
    tiles_per_split = triton.cdiv(tiles, max(1, min(tiles, 2 * _processors(queries.device) // blocks)))
    splits = triton.cdiv(tiles, tiles_per_split)
    after = torch.full((q,), FIRST_KEY, dtype=torch.int64, device=queries.device)
    passes: list[Tensor] = []
    for _ in range(triton.cdiv(min(count, g), kept)):
        partial = torch.empty((splits, q, kept), dtype=torch.int64, device=queries.device)
        nearest_scan_kernel[(blocks, splits)](
            queries, gallery, gallery_sq, after,  # inputs
            partial,  # output
            q, g, queries.shape[1], tiles_per_split,  # shapes
            *queries.stride(), *gallery.stride(),  # strides
            kept, tile.block_q, tile.block_g, tile.block_d,  # constants
            num_warps=tile.num_warps, num_stages=tile.num_stages, enable_fp_fusion=True,
        )  # fmt: skip
        keys = partial.transpose(0, 1).reshape(q, splits * kept).sort(dim=1).values[:, :kept]
        after = keys[:, -1].contiguous()
        passes.append(keys)
    return torch.cat(passes, dim=1)[:, : min(count, g)]


def _score_of(keys: Tensor) -> Tensor:
    bits = (keys >> 32).to(torch.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(torch.float32)


def _sq_norms(vectors: Tensor) -> Tensor:
    """Square the norms of rows: [N, D] to [N] float64, summed in float32, in blocks of bounded memory."""
    block = max(1, NORM_BYTES // (4 * vectors.shape[1]))
    norms = [
        torch.linalg.vector_norm(part, dim=1, dtype=torch.float32).double() for part in torch.split(vectors, block)
    ]
    return torch.cat(norms).square_()


def _arch(device: torch.device) -> int:
    if INTERPRETED:
        return INTERPRETER
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


def _processors(device: torch.device) -> int:
    return 2 if INTERPRETED else torch.cuda.get_device_properties(device).multi_processor_count
