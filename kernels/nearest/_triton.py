"""The Triton kernel: squared-distance tiles and a running top-k, fused."""
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

import triton
import triton.language as tl

NOTHING = tl.constexpr(-(2**63))


# The catalog's size is neither a constant nor specialised: a gallery that grows by one row compiles nothing.
@triton.jit(do_not_specialize=["Q", "G", "tiles_per_split"])
def nearest_scan_kernel(
    queries_ptr, gallery_ptr, gallery_sq_ptr, after_ptr,  # inputs
    keys_ptr,  # output
    Q, G, D, tiles_per_split,  # shapes
    stride_q, stride_qd, stride_g, stride_gd,  # strides, in elements
    K: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_G: tl.constexpr, BLOCK_D: tl.constexpr,  # constants
):  # fmt: skip
    """Keep the K least keys beyond `after` of each query in one split of the gallery.

    A key is (order-preserving bits of |g|^2 - 2 q.g) << 32 | row, so equal scores go to the lower row.
    queries: [Q, D]; gallery: [G, D]; gallery_sq: [G] float32; after: [Q] int64; keys: [splits, Q, K] int64.
    """
    split = tl.program_id(1)
    query = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    at_d = tl.arange(0, BLOCK_D)
    queries_at = queries_ptr + query.to(tl.int64)[:, None] * stride_q
    # A query beyond the last hopes for nothing, so its garbage never costs the tile a merge.
    after = tl.load(after_ptr + query, mask=query < Q, other=2**63 - 1)
    best = tl.full([BLOCK_Q, K], NOTHING, tl.int64)  # complemented keys, as topk keeps the largest
    worst = tl.full([BLOCK_Q], NOTHING, tl.int64)
    first = split * tiles_per_split
    for tile in range(first, tl.minimum(first + tiles_per_split, tl.cdiv(G, BLOCK_G))):
        row = tile * BLOCK_G + tl.arange(0, BLOCK_G)
        gallery_at = gallery_ptr + row.to(tl.int64)[None, :] * stride_g
        dot = tl.zeros([BLOCK_Q, BLOCK_G], tl.float32)
        for d in range(0, D, BLOCK_D):
            column = (at_d + d).to(tl.int64)
            q_inside = (query < Q)[:, None] & (column < D)[None, :]
            g_inside = (row < G)[None, :] & (column < D)[:, None]
            q = tl.load(queries_at + column[None, :] * stride_qd, mask=q_inside, other=0.0)
            g = tl.load(gallery_at + column[:, None] * stride_gd, mask=g_inside, other=0.0)
            dot = tl.dot(q, g.to(q.dtype), dot, input_precision="ieee")
        score = tl.load(gallery_sq_ptr + row, mask=row < G, other=0.0)[None, :] - 2.0 * dot
        bits = score.to(tl.int32, bitcast=True)
        ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # negative floats count backwards
        key = (ordered.to(tl.int64) << 32) | row.to(tl.int64)[None, :]
        rank = tl.where((row < G)[None, :] & (key > after[:, None]), ~key, NOTHING)
        if tl.max((rank > worst[:, None]).to(tl.int32)) > 0:
            # `best` ascends and topk descends: their maxima are the K largest of both, and a bitonic sequence.
            best = tl.bitonic_merge(tl.maximum(best, tl.topk(rank, K)))
            worst = tl.min(best, axis=1)
    at_k = tl.arange(0, K)
    keys_at = keys_ptr + (split.to(tl.int64) * Q + query.to(tl.int64))[:, None] * K + at_k[None, :]
    tl.store(keys_at, ~best, mask=(query < Q)[:, None])
