"""The loads that are timed: literal tables for a CPU, for a GPU, and for a quick look at either."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

FEW = ("faiss IndexFlatL2", "torch mm+topk")  # where a gallery is so large that a round of all peers takes minutes


@dataclass(frozen=True)
class Work:
    """One load: Q queries against G gallery rows of D values, the k nearest of each.

    dtype: of the vectors. data: "normal", or "clustered" unit vectors, which look like embeddings. one_shot: nothing is
    built beforehand, by `nearest` or by a peer. peers: names, None for all there are. arrivals_per_s: not pairs, but
    single queries that arrive at these rates and go in batches of at most Q. target: what the row is held against.
    """

    q: int
    g: int
    d: int
    k: int
    dtype: str = "float32"
    metric: str = "sq_euclidean"
    data: str = "normal"
    compute: str = "auto"
    one_shot: bool = False
    peers: tuple[str, ...] | None = None
    arrivals_per_s: tuple[int, ...] = ()
    target: str = ""

    @property
    def dataset(self) -> tuple[object, ...]:
        """What works must share to be given the same vectors."""
        return (self.g, self.d, self.dtype, self.data, self.compute)

    @property
    def title(self) -> str:
        """Name the work in one line."""
        parts = [f"Q {self.q:,}", f"G {self.g:,}", f"D {self.d:,}", f"k {self.k:,}", self.dtype, self.metric, self.data]
        if self.compute != "auto":
            parts.append(f"scan {self.compute}")
        if self.one_shot:
            parts.append("one-shot")
        if self.arrivals_per_s:
            parts.append("single arrivals, batched")
        return " · ".join(parts)


def group(works: Sequence[Work]) -> list[list[Work]]:
    """Put neighbours in the table that share their vectors into one list."""
    return [list(members) for _, members in groupby(works, key=lambda work: work.dataset)]


def shrink(works: Sequence[Work], free_bytes: int, row_bytes: float, reserve_bytes: int) -> list[Work]:
    """Cut the gallery of works that share it to the rows that fit beside a reserve; unchanged where all fit."""
    fit = int((free_bytes - reserve_bytes) / row_bytes)
    if fit < 1:
        raise ValueError(f"{free_bytes:,} bytes are free and {reserve_bytes:,} are kept back; not one row fits")
    round_down = 10 ** max(len(str(fit)) - 3, 0)
    return [work if work.g <= fit else replace(work, g=fit // round_down * round_down) for work in works]


def _cpu() -> tuple[Work, ...]:
    g, d = 200_000, 512
    fast = "2.5 times as fast as faiss"
    return (
        *(Work(q, g, d, k) for q in (1, 16) for k in (10, 20, 1000)),
        Work(256, g, d, 10),
        Work(256, g, d, 20, target=fast),
        Work(256, g, d, 1000),
        Work(256, g, d, 20, one_shot=True),
        *(Work(q, g, d, 20, metric=metric) for metric in ("inner_product", "cosine") for q in (1, 256)),
        *(Work(q, g, d, 20, data="clustered") for q in (1, 256)),
        *(Work(256, g, d, 20, data="clustered", metric=metric) for metric in ("inner_product", "cosine")),
        *(Work(q, 25_000, 4096, 20) for q in (1, 256)),
        *(Work(256, 1_000_000, d, k, peers=FEW) for k in (10, 1000)),
    )


def _alone() -> tuple[Work, ...]:
    d, half = 512, "bfloat16"
    return (
        *(Work(q, g, d, 10, half, peers=()) for g in (20_000, 200_000, 1_000_000) for q in (1, 16, 512)),
        *(Work(q, 10_000_000, d, k, half, peers=()) for q in (1, 4, 16, 64) for k in (10, 100)),
        *(Work(512, 10_000_000, d, k, half, peers=()) for k in (10, 100, 1000)),
        *(Work(q, 10_000_000, d, 100, half, compute="int8", peers=()) for q in (1, 512)),
    )


def _peers() -> tuple[Work, ...]:
    g, d, half = 10_000_000, 512, "bfloat16"
    scan = "0.85 of the copy bandwidth"
    tensor = "400 TFLOP/s and 2 times as fast as the best peer"
    return (
        *(Work(q, g, d, 10, half, target=scan) for q in (1, 16)),
        Work(64, g, d, 100, half, target=scan),
        Work(512, g, d, 10, half),
        Work(512, g, d, 100, half, target=tensor),
        Work(512, g, d, 1000, half, target="1.2 times the time of k 10"),
        Work(512, g, d, 100, half, data="clustered"),
        Work(512, 2_000_000, d, 100),
    )


def _large() -> tuple[Work, ...]:
    d, half, batched = 512, "bfloat16", "2,000/s at p99 50 ms"
    large = 50_000_000
    return (
        Work(512, large, d, 100, half, compute=half, peers=("torch mm+topk",), target="10,000 queries/s"),
        Work(512, large, d, 100, half, compute=half, peers=(), arrivals_per_s=(2000, 5000, 10_000), target=batched),
        Work(512, large, d, 100, half, compute="int8", peers=(), target="15,000 queries/s"),
        Work(512, large, d, 100, half, compute="int8", peers=(), arrivals_per_s=(2000, 5000, 10_000), target=batched),
    )


TABLES = {"cpu": {"peers": _cpu()}, "cuda": {"alone": _alone(), "peers": _peers(), "large": _large()}}
QUICK = {
    "cpu": (
        *(Work(q, 20_000, 512, k) for q in (1, 256) for k in (10, 1000)),
        Work(256, 20_000, 512, 10, one_shot=True),
        Work(256, 20_000, 512, 10, metric="inner_product"),
        Work(64, 20_000, 512, 10, peers=(), arrivals_per_s=(100,)),
        Work(256, 20_000, 512, 10, metric="cosine", data="clustered"),
    ),
    "cuda": (
        *(Work(q, 500_000, 512, k, "bfloat16") for q in (1, 512) for k in (10, 1000)),
        Work(512, 500_000, 512, 10, "bfloat16", metric="inner_product", data="clustered"),
        Work(512, 500_000, 512, 10, "bfloat16", compute="int8", peers=(), arrivals_per_s=(2000,)),
    ),
}
