"""The scan of a block of queries: the gallery is read once, and what beats its query's threshold survives."""

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.nearest.codes import BOUND, QueryCodes, RowCodes
from kernels.nearest.contract import Admission
from kernels.nearest.encode import OUT, UP
from kernels.nearest.prepared import Prepared
from kernels.nearest.resolve import Survivors

SCORE_BYTES = 4 << 20  # one tile of queries x gallery
MOST_ROWS, LEAST_ROWS = 32768, 512  # of a tile
FEW_SCORES = 1 << 17  # of a tile of few queries: smaller ones cost more steps than they save cache
STRIPES = 16  # columns of a tile whose largest is looked at first
SPARSE = 0.5  # below this share of valid rows, only those are multiplied
PER_GROUP = 4  # rows looked for per group wanted
LEAST_SURVIVORS = 4096  # of a query that a scan may keep
SPREAD = {torch.int8: 16}  # survivors per row wanted, at most: looser bounds let more through
PENDING = 1 << 21  # survivors of one scan


@dataclass(frozen=True)
class Limits:
    """How many rows a scan looks for, and how many survivors a query and how many queries a scan may have."""

    wanted: int
    survivors: int
    queries: int


def limits_of(k: int, admission: Admission, dtype: torch.dtype = torch.float32) -> Limits:
    """Choose the limits for k neighbours in a scan of this type, so that memory is bounded."""
    wanted = k * (1 if admission.group is None else PER_GROUP) + (admission.exclude is not None)
    most = max(LEAST_SURVIVORS, SPREAD.get(dtype, 8) * wanted)
    return Limits(wanted, most, max(1, PENDING // most))


def survivors(
    codes: QueryCodes, floor: Tensor, prepared: Prepared, admission: Admission, limits: Limits
) -> tuple[Survivors, Tensor]:
    """Scan for the admitted rows whose bound reaches their query's threshold, floor [H] float64 in terms of s.

    Returns them, and which queries had more than a scan may keep, [H] bool: theirs are not all there.
    """
    h, dtype = codes.codes.shape[0], BOUND[codes.coding.dtype]
    unit = OUT[dtype]
    lowered = floor - codes.floor
    least = torch.where(lowered == -torch.inf, lowered, lowered - 2.0 * unit * lowered.abs()).to(dtype)
    cut = _cut(codes, least.double(), unit)
    table = Table(h, limits.survivors)
    width = min(MOST_ROWS, max(h * LEAST_ROWS, SCORE_BYTES // dtype.itemsize) // h // STRIPES * STRIPES)
    if prepared.codes is not None:
        width = max(width, FEW_SCORES // h // STRIPES * STRIPES)
    scores = torch.empty(h * width, dtype=dtype)
    for start in range(0, prepared.vectors.shape[0], width):
        stop = min(start + width, prepared.vectors.shape[0])
        rows: slice | Tensor = slice(start, stop)
        mask = admission.mask(start, stop)
        if mask is not None and (share := float(mask.float().mean())) < SPARSE:
            if share == 0.0:
                continue
            rows, mask = start + torch.nonzero(mask)[:, 0], None
        block = prepared.block(rows)
        query, column, bound = _hits(codes.multiply(block, scores), least)
        row = column + start if isinstance(rows, slice) else rows[column]
        keep = None if mask is None else mask[column]
        if (excluded := admission.excluded(query, row)) is not None:
            keep = ~excluded if keep is None else keep & ~excluded
        if keep is not None:
            query, column, bound, row = query[keep], column[keep], bound[keep], row[keep]
        if query.numel() and table.append(query, row, bound, _slack(codes, query, block, column)):
            least = least.masked_fill(table.overflown, torch.inf)
            if table.overflown.all():
                break
    return table.survivors(codes, cut, unit), table.overflown


class Table:
    """The survivors of H queries, at most `most` each: in which row, with what bound of s, and how loose that is."""

    def __init__(self, h: int, most: int) -> None:
        """Reserve room; memory is used as it is filled."""
        self.row = torch.empty((h, most), dtype=torch.int64)
        self.bound, self.slack = torch.empty((h, most)), torch.empty((h, most))
        self.count = torch.zeros(h, dtype=torch.int64)

    @property
    def overflown(self) -> Tensor:
        """Say which queries have more than there is room for, [H] bool."""
        return self.count > self.row.shape[1]

    def append(self, query: Tensor, row: Tensor, bound: Tensor, slack: Tensor) -> bool:
        """Append pairs [P], sorted by query; say whether there is a query that overflows."""
        fresh = torch.bincount(query, minlength=self.count.numel())
        place = torch.arange(query.numel()) + (self.count + fresh - fresh.cumsum(0))[query]
        self.count += fresh
        over = int(self.count.max()) > self.row.shape[1]
        if over:
            inside = place < self.row.shape[1]
            query, place, row, bound, slack = (part[inside] for part in (query, place, row, bound, slack))
        at = query * self.row.shape[1] + place
        self.row.view(-1)[at] = row
        self.bound.view(-1)[at] = bound.float()
        self.slack.view(-1)[at] = slack
        return over

    def survivors(self, codes: QueryCodes, cut: Tensor, unit: float) -> Survivors:
        """Turn the bounds of s into bounds of the cost."""
        h, c = self.count.numel(), min(int(self.count.max()), self.row.shape[1])
        there = torch.arange(c) < self.count[:, None]
        row = torch.where(there, self.row[:, :c], -1)
        bound = torch.where(there, self.bound[:, :c], 0.0).double()
        slack = torch.where(there, self.slack[:, :c], 0.0)
        query = torch.arange(h)[:, None]
        rounding = unit * bound.abs() + codes.floor[:, None]
        far = codes.scale.costs(query, bound - rounding - slack).masked_fill_(~there, torch.inf)
        return Survivors(row, codes.scale.costs(query, bound + rounding), far, cut)


def _cut(codes: QueryCodes, least: Tensor, unit: float) -> Tensor:
    """Bound from below the cost of a row whose bound is less than `least` [H] float64."""
    cost = codes.scale.costs(torch.arange(least.numel()), least + unit * least.abs() + codes.floor)
    return torch.where(least == -torch.inf, torch.inf, cost)


def _hits(tile: Tensor, least: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find what reaches least [H] in a tile [W, H]: query, column of the gallery and value of each, sorted by query.

    The largest of every stripe of rows is found first, at the speed of memory, and few stripes are looked into.
    """
    stripes = STRIPES if tile.shape[0] % STRIPES == 0 else 1
    striped = tile.view(stripes, -1, tile.shape[1])
    if (least > 0.0).all():
        # The bits of positive floats are in the order of integers, which are compared seven times as fast.
        bits = torch.int16 if tile.dtype == torch.bfloat16 else torch.int32
        hopeful = striped.view(bits).amax(dim=0) >= least.view(bits)
    else:
        hopeful = striped.amax(dim=0) >= least
    query, place = torch.nonzero(hopeful.T, as_tuple=True)
    values = striped[:, place, query].T
    which, stripe = torch.nonzero(values >= least[query, None], as_tuple=True)
    return query[which], stripe * striped.shape[1] + place[which], values[which, stripe]


def _slack(codes: QueryCodes, query: Tensor, block: RowCodes, column: Tensor) -> Tensor:
    """Say how far below the scan's bound s may be for these pairs of query and block column: [P] float32."""
    errors = block.errors.index_select(0, column).float()
    slack = (codes.terms[:, 1:].index_select(0, query) * errors).sum(dim=1).mul_(2.0 * UP)
    if codes.coding.metric == "sq_euclidean":
        slack += 2.0 * codes.coding.roundoff * errors[:, 0].square()
    return slack.mul_(UP)
