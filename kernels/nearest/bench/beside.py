"""One peer beside us on one work: built, compared, timed; whatever it does, it becomes one row."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.nearest import Neighbors
from kernels.nearest.bench.agree import agreement
from kernels.nearest.bench.machine import pin
from kernels.nearest.bench.measure import PeerRow, settle, time_pairs
from kernels.nearest.bench.peer import AbsentError, Peer, load
from kernels.nearest.bench.work import Work


@dataclass(frozen=True, eq=False)
class Bout:
    """What a peer is measured against: the work, its vectors, our search, and our answer."""

    work: Work
    vectors: Tensor
    queries: Tensor
    ours: Callable[[], Neighbors]
    found: Neighbors
    pairs: int
    budget_s: float

    def row(self, peer: Peer) -> PeerRow:
        """Measure a peer, or say why not."""
        if peer.most_k is not None and self.work.k > peer.most_k:
            return PeerRow(peer.name, f"not run: k {peer.most_k} is {peer.why_most_k}")
        try:
            return self._measure(peer)
        except AbsentError as absent:
            return PeerRow(peer.name, str(absent))
        except torch.OutOfMemoryError:
            return PeerRow(peer.name, "out of memory")
        except Exception as error:  # a peer's bug must not cost the other rows
            return PeerRow(peer.name, f"failed: {describe(error)}")
        finally:
            time.sleep(peer.rest_s)

    def _measure(self, peer: Peer) -> PeerRow:
        device = self.vectors.device.type
        threads = torch.get_num_threads()
        load(peer.module)
        pin(threads)  # after the import, which brings a thread pool
        start = time.perf_counter()
        search = peer.build(self.vectors, self.work.metric)
        settle(device)
        build_s = time.perf_counter() - start
        theirs = search(self.queries, self.work.k)  # the warm-up, and the answer that is compared
        agree = agreement(self.found.row, theirs, self.queries, self.vectors, self.work.metric)

        def again() -> object:
            fresh = peer.build(self.vectors, self.work.metric) if self.work.one_shot else search
            return fresh(self.queries, self.work.k)

        ours_s, peer_s = time_pairs(self.ours, again, device, self.pairs, self.budget_s, peer.rest_s)
        return PeerRow(peer.name, "measured", build_s, ours_s, peer_s, agree, peer.exact)


def describe(error: Exception) -> str:
    """Say what went wrong in one line."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
