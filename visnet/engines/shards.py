"""Search over shards: each actor of a Ray cluster holds a slice of a gallery; together they answer as one process."""

import itertools
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernels.nearest import Gallery, Neighbors, merge, nearest
from kernels.nearest.contract import Admission, admit, check_pair, check_within
from visnet.engines.cluster import imported, original

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class _Asked:
    """How many, and which filters; arrays of NumPy's are shared by Ray between the processes of a node."""

    k: int
    valid: Array | None
    group: Array | None
    exclude: Array | None
    within: Array | None


class _Shard:
    """An actor: the slice that it searched last, made ready. One that was lost begins anew with what it is given."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self._key, self._gallery = -1, Gallery(torch.zeros(0, 1))

    def answer(
        self, key: int, start: int, rows: Array, metric: str, queries: Array, asked: _Asked
    ) -> tuple[Array, Array, Array]:
        """Return score, row and proven of the nearest of its rows, numbered over the whole gallery."""
        place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if key != self._key:
            try:
                self._key, self._gallery = key, Gallery(_on(place, rows), metric=metric)
            except ValueError as error:
                raise ValueError(f"shard from row {start}: {error}") from None
        found = nearest(
            _on(place, queries),
            self._gallery,
            asked.k,
            valid=_maybe_on(place, asked.valid),
            group=_maybe_on(place, asked.group),
            exclude=_maybe_on(place, asked.exclude),
            within=_maybe_on(place, asked.within),
        )
        row = torch.where(found.row < 0, -1, found.row + start)
        return found.score.cpu().numpy(), row.cpu().numpy(), found.proven.cpu().numpy()


class Shards:
    """The actors of a connected cluster that search; they end with the connection, or when `close` is called."""

    def __init__(self, count: int, *, threads: int = 1, gpus: int = 0) -> None:
        """Start so many actors, 1 or more, spread over the nodes, each with a GPU if `gpus` is 1.

        `ValueError` for a count below 1. An actor whose node is lost starts again on another: so it asks for no CPU of
        its own, which might be taken there.
        """
        if count < 1:
            raise ValueError(f"count of shards must be at least 1, is {count}")
        self._ray, self._keys = imported(), itertools.count()
        remote = self._ray.remote(_Shard).options(
            num_cpus=0, num_gpus=gpus, max_restarts=-1, max_task_retries=-1, scheduling_strategy="SPREAD"
        )
        self._actors = [remote.remote(threads) for _ in range(count)]

    def __len__(self) -> int:
        return len(self._actors)

    def gallery(self, vectors: Tensor, metric: str = "sq_euclidean") -> "ShardedGallery":
        """Give each actor an equal share of the vectors [G, D], float32, float16 or int8 on the CPU."""
        ends = np.linspace(0, len(vectors), len(self) + 1).astype(int)
        return self.gallery_of((vectors[a:b] for a, b in itertools.pairwise(ends)), metric)

    def gallery_of(self, parts: Iterable[Tensor], metric: str = "sq_euclidean") -> "ShardedGallery":
        """Give each actor a part [G_i, D] of a gallery, which may be empty; at most one is held here at a time.

        `ValueError` when there are not as many parts as actors, or they differ in D.
        """
        held = []
        for part in parts:
            held.append(_Part(len(part), part.shape[1], self._ray.put(_array(part))))
        if len(held) != len(self) or len({part.width for part in held}) != 1:
            widths = sorted({part.width for part in held})
            raise ValueError(f"parts of a gallery: {len(held)} of D = {widths}; needed are {len(self)} of one D")
        return ShardedGallery(self._ray, self._actors, held, metric, next(self._keys))

    def close(self) -> None:
        """End the actors, and what they were asked."""
        for actor in self._actors:
            self._ray.kill(actor)


@dataclass(frozen=True)
class _Part:
    count: int
    width: int
    rows: Any  # Ray's reference; its owner is this process, so that it outlives a lost node


class ShardedGallery:
    """A gallery in shards that answers as `kernels.nearest.nearest` does of the whole of it."""

    def __init__(self, ray: Any, actors: Sequence[Any], parts: Sequence[_Part], metric: str, key: int) -> None:
        self._ray, self._actors, self._parts, self._key = ray, actors, parts, key
        self.metric = metric
        self._starts = np.cumsum([0, *(part.count for part in parts)]).tolist()

    def nearest(
        self,
        queries: Tensor,
        k: int,
        *,
        valid: Tensor | None = None,
        group: Tensor | None = None,
        exclude: Tensor | None = None,
        within: Tensor | None = None,
    ) -> Neighbors:
        """Find the k nearest rows of each query: score and row equal to the bit to those of one process.

        As `kernels.nearest.nearest` of the whole gallery, with the same filters and errors; a query is `proven` when
        every shard proved its part of the answer.
        """
        whole = torch.zeros(1, self._parts[0].width).expand(self._starts[-1], -1)  # its shape, without its values
        check_pair(queries, whole, k)
        admission = admit(queries, whole, valid, group, exclude)
        ranges = None if within is None else check_within(within, queries, whole)
        asked = self._ray.put(_array(queries))
        calls = []
        for actor, part, start in zip(self._actors, self._parts, self._starts, strict=False):
            what = _asked(admission, ranges, k, start, start + part.count)
            calls.append(actor.answer.remote(self._key, start, part.rows, self.metric, asked, what))
        try:
            answers = self._ray.get(calls)
        except self._ray.exceptions.RayTaskError as error:
            raise original(error) from None
        parts = [Neighbors(*(torch.tensor(one) for one in answer)) for answer in answers]
        return merge(parts, k, metric=self.metric, group=group)


def _asked(admission: Admission, ranges: Tensor | None, k: int, start: int, stop: int) -> _Asked:
    """Narrow what is asked of the whole gallery to the rows of a shard, numbered from 0."""
    own = admission.rows(start, stop)
    within = None if ranges is None else (ranges - start).clamp(0, stop - start)
    filters = (own.valid, own.group, own.exclude, within)
    valid, group, exclude, within_ = (None if one is None else _array(one) for one in filters)
    return _Asked(k, valid, group, exclude, within_)


def _array(tensor: Tensor) -> Array:
    if tensor.dtype == torch.bfloat16:
        raise ValueError("vectors in shards are bfloat16, which NumPy does not know; allowed: float32, float16, int8")
    return tensor.detach().cpu().contiguous().numpy()


def _maybe_on(place: torch.device, array: Array | None) -> Tensor | None:
    return None if array is None else _on(place, array)


def _on(place: torch.device, array: Array) -> Tensor:
    """Read an array where it lies; it is shared, and nobody writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array).to(place)
