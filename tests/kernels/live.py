"""What a `LiveGallery` should hold, searched anew, and vectors to put into one."""

import torch

from kernels.nearest import Neighbors, nearest

D = 3
FAR = 2.0**57  # of float32, but longer than a scan's arithmetic holds
SLOW = 2.0**-70  # whose square is no normal float32


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def fresh(rows: dict[int, torch.Tensor], queries: torch.Tensor, k: int, metric: str, **options: object) -> Neighbors:
    """Search a table in which row r stands at r, and what is not there is not valid."""
    table = torch.zeros(max(rows, default=0) + 1, queries.shape[1])
    valid = torch.zeros(len(table), dtype=torch.bool)
    for row, vector in rows.items():
        table[row], valid[row] = vector, True
    found = nearest(queries, table, k, metric=metric, backend="reference", valid=valid, **options)
    return Neighbors(found.score[:, : len(rows)], found.row[:, : len(rows)], found.proven)


def same(found: Neighbors, expected: Neighbors) -> None:
    assert found.row.tolist() == expected.row.tolist()
    assert found.score.tolist() == expected.score.tolist()
