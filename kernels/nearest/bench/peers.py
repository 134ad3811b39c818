"""The peers: what a peer is, and which there are for each device."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Search = Callable[[Tensor, int], Any]  # queries [Q, D] and k give rows [Q, k], a tensor or an array

OPENBLAS_SPINS_S = 0.2  # seen: 0.12; without a rest `nearest` took five times its time after numpy on two cores
METRICS = ("sq_euclidean", "inner_product", "cosine")


class AbsentError(Exception):
    """This peer cannot be had here, or not for such vectors; the message says why."""


@dataclass(frozen=True)
class Peer:
    """Another exact search: its name, the metrics it knows, and how its index over gallery vectors is built.

    module: imported before the clock of `build` starts. most_k: beyond it the peer is not run, for the reason given.
    rest_s: for so long its threads spin after a call, which would slow whoever comes next; so long both sides rest.
    """

    name: str
    metrics: tuple[str, ...]
    build: Callable[[Tensor, str], Search]
    module: str = "torch"
    most_k: int | None = None
    why_most_k: str = ""
    rest_s: float = 0.0


def load(module: str) -> Any:
    """Import a peer's module; AbsentError where it is not installed, or installed and broken."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and module.split(".")[0] == error.name.split(".")[0]:
            raise AbsentError("not installed") from error
        raise AbsentError(f"cannot be imported: {error}") from error
    except (ImportError, OSError) as error:
        raise AbsentError(f"cannot be imported: {str(error).splitlines()[0]}") from error


def peers_on(device: str) -> tuple[Peer, ...]:
    """List the peers of a device, "cpu" or "cuda", installed or not, the plainest first."""
    from kernels.nearest.bench import gpu_peers, library_peers, torch_peers

    plain = (
        Peer("torch mm+topk", METRICS, torch_peers.mm_topk),
        Peer("torch cdist+topk", ("sq_euclidean",), torch_peers.cdist_topk),
    )
    if device == "cpu":
        return (
            Peer("faiss IndexFlatL2", ("sq_euclidean",), library_peers.faiss_flat, "faiss", rest_s=OPENBLAS_SPINS_S),
            Peer(
                "faiss IndexFlatIP",
                ("inner_product", "cosine"),
                library_peers.faiss_flat,
                "faiss",
                rest_s=OPENBLAS_SPINS_S,
            ),
            *plain,
            Peer("numpy", METRICS, library_peers.numpy_argpartition, "numpy", rest_s=OPENBLAS_SPINS_S),
            Peer(
                "scikit-learn brute",
                ("sq_euclidean", "cosine"),
                library_peers.sklearn_brute,
                "sklearn.neighbors",
                rest_s=OPENBLAS_SPINS_S,
            ),
            Peer("usearch exact", METRICS, library_peers.usearch_exact, "usearch.index"),
        )
    return (
        *plain,
        Peer("torch mm+topk, float32 out", METRICS, torch_peers.mm_topk_float32),
        Peer("torch mm+topk, compiled", METRICS, torch_peers.mm_topk_compiled),
        Peer("faiss bfKnn", METRICS, gpu_peers.faiss_bfknn, "faiss", 2048, "the most it takes"),
        Peer("faiss bfKnn, cuVS", METRICS, gpu_peers.faiss_bfknn_cuvs, "faiss"),
        Peer("flashlib flash_knn", ("sq_euclidean",), gpu_peers.flash_knn, "flashlib", 128, "the most it is tuned for"),
    )
