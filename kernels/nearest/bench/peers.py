"""Which peers there are for each device."""

from kernels.nearest.bench import gpu_peers, library_peers, torch_peers
from kernels.nearest.bench.peer import METRICS, OPENBLAS_SPINS_S, Peer


def peers_on(device: str) -> tuple[Peer, ...]:
    """List the peers of a device, "cpu" or "cuda", installed or not, the plainest first."""
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
            Peer("numkong packed", METRICS, library_peers.numkong_packed, "numkong"),
            Peer("zvec flat", METRICS, library_peers.zvec_flat, "zvec"),
            Peer(
                "turbovec 4 bits",
                ("inner_product", "cosine"),
                library_peers.turbovec_4_bits,
                "turbovec",
                exact=False,
            ),
        )
    return (
        *plain,
        Peer("torch mm+topk, float32 out", METRICS, torch_peers.mm_topk_float32),
        Peer("torch mm+topk, compiled", METRICS, torch_peers.mm_topk_compiled),
        Peer("faiss bfKnn", METRICS, gpu_peers.faiss_bfknn, "faiss", 2048, "the most it takes"),
        Peer("faiss bfKnn, cuVS", METRICS, gpu_peers.faiss_bfknn_cuvs, "faiss"),
        Peer("flashlib flash_knn", ("sq_euclidean",), gpu_peers.flash_knn, "flashlib", 128, "the most it is tuned for"),
    )
