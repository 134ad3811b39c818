"""The Triton kernel: a stream of gallery tiles, of which it keeps the rows that reach their query's threshold."""
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

import triton
import triton.language as tl

LOW = tl.constexpr(-3.0e38)  # below every bound
RUN = tl.constexpr(15)  # tiles between two of a sample
DENIED = tl.constexpr(-1.0e17)  # finite even times the largest inverse, 127 * 2 ** 60


@triton.jit
def _is_valid(valid_ptr, row):
    return (tl.load(valid_ptr + (row >> 3)).to(tl.int32) >> (row & 7).to(tl.int32) & 1) > 0


# The catalog's size is neither a constant nor specialised: a gallery that grows by one row compiles nothing.
@triton.jit(do_not_specialize=["Q", "G", "tiles", "jump", "skip", "first", "capacity"])
def scan_kernel(
    queries_ptr, threshold_ptr, lift_ptr, inverse_ptr,  # of queries
    gallery_ptr, scale_ptr, bias_ptr, length_ptr, error_ptr, ratio_ptr, valid_ptr, tiles_ptr,  # of rows
    row_ptr, bound_ptr, count_ptr,  # outputs
    Q, G, D, tiles, jump, skip, first, capacity,
    stride_q, stride_g, stride_gd,  # strides, in elements
    BLOCK_Q: tl.constexpr, BLOCK_G: tl.constexpr, BLOCK_D: tl.constexpr, EVEN: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """Append the rows of one split whose bound reaches a query's threshold to that query's segment.

    bound = dot * scale + bias * inverse + lift * (length * ratio + error), its lowest bits replaced by the column in
    the tile, so that one maximum finds both. queries: [Q, D], columns adjacent; threshold, lift, inverse: [Q] float32;
    gallery: [G, D]; scale, bias, length, error: [G] float32, or None: then 1, 0, no lift, and lift * length; ratio:
    [1] float32, read where there is an error; valid: a bitset or None. A split reads every splits-th of the `tiles`
    tiles listed in `tiles_ptr` [tiles] int32, or where that is None, i * jump + i // RUN * skip + first for i < tiles.
    row, bound: [Q, splits, capacity] int64, float32; count: [Q, splits] int32, grows from what it holds, beyond
    capacity where there was no room. EVEN: BLOCK_D divides D; WHOLE: D <= BLOCK_D.
    """
    split, splits = tl.program_id(1), tl.num_programs(1)
    top_query = tl.program_id(0) * BLOCK_Q
    query = top_query + tl.arange(0, BLOCK_Q)
    inside = tl.minimum(query, Q - 1)  # a query beyond the last repeats it, and hopes for nothing
    threshold = tl.load(threshold_ptr + query, mask=query < Q, other=float("inf"))
    inverse, lift = tl.load(inverse_ptr + inside), tl.load(lift_ptr + inside)
    segment = inside.to(tl.int64) * splits + split
    found = tl.load(count_ptr + segment)
    if error_ptr is not None:
        ratio = tl.load(ratio_ptr)
    at_g, at_d = tl.arange(0, BLOCK_G), tl.arange(0, BLOCK_D)
    queries_at = queries_ptr + inside.to(tl.int64)[:, None] * stride_q + at_d[None, :]
    if WHOLE:
        resident = tl.load(queries_at, mask=(at_d < D)[None, :], other=0.0)
    accumulator: tl.constexpr = tl.int32 if gallery_ptr.dtype.element_ty == tl.int8 else tl.float32
    for turn in range(tl.cdiv(tiles - split, splits)):
        at = split + turn * splits
        if tiles_ptr is None:
            base = (at * jump + at // RUN * skip + first).to(tl.int64) * BLOCK_G
        else:
            base = tl.load(tiles_ptr + at).to(tl.int64) * BLOCK_G
        row = tl.minimum(base + at_g, G - 1)  # a row beyond the last repeats it, and is dropped when it hits
        # What follows the product is asked for before it, which hides the latency.
        if scale_ptr is not None:
            scale = tl.load(scale_ptr + row)
        if bias_ptr is not None:
            bias = tl.load(bias_ptr + row)
        if length_ptr is not None:
            reach = tl.load(length_ptr + row)
            if error_ptr is not None:
                reach = reach * ratio + tl.load(error_ptr + row)
        if valid_ptr is not None:
            # So low that it seldom hits, and is looked up if it does; a mask of its own would cost a register a column.
            denied = tl.where(_is_valid(valid_ptr, row), 0.0, DENIED)
            bias = denied if bias_ptr is None else bias + denied
        gallery_at = gallery_ptr + row[None, :] * stride_g
        if WHOLE:
            g_at = gallery_at + at_d.to(tl.int64)[:, None] * stride_gd
            if EVEN:
                g = tl.load(g_at)
            else:
                g = tl.load(g_at, mask=(at_d < D)[:, None], other=0.0)
            dot = tl.dot(resident, g.to(resident.dtype), input_precision="tf32", out_dtype=accumulator)
        else:
            dot = tl.zeros([BLOCK_Q, BLOCK_G], accumulator)
            for d in range(0, D, BLOCK_D):
                g_at = gallery_at + (at_d + d).to(tl.int64)[:, None] * stride_gd
                if EVEN:
                    q = tl.load(queries_at + d)
                    g = tl.load(g_at)
                else:
                    q = tl.load(queries_at + d, mask=(at_d < D - d)[None, :], other=0.0)
                    g = tl.load(g_at, mask=(at_d < D - d)[:, None], other=0.0)
                dot = tl.dot(q, g.to(q.dtype), dot, input_precision="tf32", out_dtype=accumulator)
        bound = dot.to(tl.float32)
        if scale_ptr is not None:
            bound = bound * scale[None, :]
        if bias_ptr is not None or valid_ptr is not None:
            bound = bound + bias[None, :] * inverse[:, None]
        if length_ptr is not None:
            bound = bound + lift[:, None] * reach[None, :]
        key = (bound.to(tl.int32, bitcast=True) & -BLOCK_G | at_g[None, :]).to(tl.float32, bitcast=True)
        top = tl.max(key, axis=1)
        hits = tl.max((top >= threshold).to(tl.int32))
        if hits > 0:  # around the loop, as the compiler overlaps tiles only where no loop stands directly in this one
            while hits > 0:
                hit_row = base + (top.to(tl.int32, bitcast=True) & (BLOCK_G - 1))
                hit = (top >= threshold) & (hit_row < G)
                if valid_ptr is not None:
                    hit &= _is_valid(valid_ptr, tl.minimum(hit_row, G - 1))
                place = segment * capacity + found
                tl.store(row_ptr + place, hit_row, mask=hit & (found < capacity))
                tl.store(bound_ptr + place, top, mask=hit & (found < capacity))
                found += hit.to(tl.int32)
                threshold = tl.where(found > capacity, float("inf"), threshold)
                key = tl.where(key == top[:, None], LOW, key)
                top = tl.max(key, axis=1)
                hits = tl.max((top >= threshold).to(tl.int32))
    tl.store(count_ptr + segment, found, mask=query < Q)
