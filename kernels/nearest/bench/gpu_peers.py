"""Peers for a GPU that are not torch: FAISS's brute force with and without cuVS, and FlashLib's fused kNN."""

from typing import Any

import torch
from torch import Tensor

from kernels.nearest.bench.peer import AbsentError, Search, load


def faiss_bfknn(gallery: Tensor, metric: str) -> Search:
    """Build bfKnn over tensors on the GPU; there is no index, only the library's scratch memory."""
    return _bfknn(gallery, metric, cuvs=False)


def faiss_bfknn_cuvs(gallery: Tensor, metric: str) -> Search:
    """Build bfKnn through cuVS."""
    return _bfknn(gallery, metric, cuvs=True)


def flash_knn(gallery: Tensor, metric: str) -> Search:
    """Build FlashLib's flash_knn (`pip install flashlib`), which compiles for each Q and G in the warm-up."""
    flashlib = load("flashlib")
    return lambda queries, k: flashlib.flash_knn(queries, gallery, k)[1]


def _bfknn(gallery: Tensor, metric: str, *, cuvs: bool) -> Search:
    faiss: Any = load("faiss")
    if not hasattr(faiss, "StandardGpuResources"):
        raise AbsentError("the faiss that is installed is built without CUDA")
    if cuvs and "CUVS" not in faiss.get_compile_options():
        raise AbsentError("the faiss that is installed is built without cuVS")
    load("faiss.contrib.torch_utils")  # teaches knn_gpu to take tensors
    resources = faiss.StandardGpuResources()
    kind = faiss.METRIC_L2 if metric == "sq_euclidean" else faiss.METRIC_INNER_PRODUCT
    vectors = torch.nn.functional.normalize(gallery) if metric == "cosine" else gallery

    def search(queries: Tensor, k: int) -> Tensor:
        asked = torch.nn.functional.normalize(queries) if metric == "cosine" else queries
        rows: Tensor = faiss.knn_gpu(resources, asked, vectors, k, metric=kind, use_cuvs=cuvs)[1]
        return rows

    return search
