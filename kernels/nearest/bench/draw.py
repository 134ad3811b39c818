"""Vectors drawn on the device, block by block: normal ones, and clustered unit vectors that look like embeddings."""

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK_VALUES = 2**27  # drawn at a time, as float32
CENTRES = 2000
NOISE = 0.65  # |noise| beside centres of length 1: cosines within a cluster are about 0.7


def draw(
    gallery_rows: int, query_rows: int, d: int, data: str, dtype: torch.dtype, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw gallery [G, D] and queries [Q, D] of one distribution, on the generator's device.

    data: "normal", or "clustered" (2,000 centres and noise, scaled to unit length).
    """
    if data not in ("normal", "clustered"):
        raise ValueError(f'data is {data!r}; allowed: "normal", "clustered"')
    block = _normal(d, generator) if data == "normal" else _clustered(d, generator)
    return _fill(gallery_rows, d, dtype, block, generator), _fill(query_rows, d, dtype, block, generator)


def _fill(rows: int, d: int, dtype: torch.dtype, block: Callable[[int], Tensor], generator: torch.Generator) -> Tensor:
    drawn = torch.empty((rows, d), dtype=dtype, device=generator.device)
    step = max(BLOCK_VALUES // d, 1)
    for start in range(0, rows, step):
        part = drawn[start : start + step]
        part.copy_(block(part.shape[0]))
    return drawn


def _normal(d: int, generator: torch.Generator) -> Callable[[int], Tensor]:
    return lambda rows: torch.randn(rows, d, generator=generator, device=generator.device)


def _clustered(d: int, generator: torch.Generator) -> Callable[[int], Tensor]:
    normal = _normal(d, generator)
    centres = torch.nn.functional.normalize(normal(CENTRES))

    def block(rows: int) -> Tensor:
        mine = torch.randint(CENTRES, (rows,), generator=generator, device=generator.device)
        noise = normal(rows).mul_(NOISE / d**0.5)
        return torch.nn.functional.normalize(noise.add_(centres[mine]))

    return block
