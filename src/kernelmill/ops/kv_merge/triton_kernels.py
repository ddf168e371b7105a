"""The Triton kernels of cache merging (imported when first launched).

Rows are (batch, head) pairs; addresses are 64-bit. Every result is computed by one program in a
fixed order: no atomics.
"""

# ruff: noqa: E501, N803
import triton
import triton.language as tl


@triton.jit
def cosine(
    keys, out, tokens, width, heads, stride_b, stride_h, stride_t, stride_d,
    BLOCK_T: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    blocks = tl.cdiv(tokens - 1, BLOCK_T)
    row = (tl.program_id(0) // blocks).to(tl.int64)
    t = (tl.program_id(0) % blocks) * BLOCK_T + tl.arange(0, BLOCK_T)
    edge = t < tokens - 1
    base = keys + (row // heads) * stride_b + (row % heads) * stride_h
    at = base + t.to(tl.int64)[:, None] * stride_t
    dot = tl.zeros((BLOCK_T,), tl.float32)
    left = tl.zeros((BLOCK_T,), tl.float32)
    right = tl.zeros((BLOCK_T,), tl.float32)
    for start in range(0, width, BLOCK_D):
        d = start + tl.arange(0, BLOCK_D)
        inside = edge[:, None] & (d < width)[None, :]
        here = at + d.to(tl.int64)[None, :] * stride_d
        a = tl.load(here, mask=inside, other=0.0).to(tl.float32)
        b = tl.load(here + stride_t, mask=inside, other=0.0).to(tl.float32)
        dot += tl.sum(a * b, 1)
        left += tl.sum(a * a, 1)
        right += tl.sum(b * b, 1)
    square = left * right
    found = tl.where(square > 0, dot / tl.sqrt(tl.where(square > 0, square, 1.0)), 0.0)
    tl.store(out + row * (tokens - 1) + t, found, mask=edge)


@triton.jit
def _logits(
    q, k, n, m, in_n, in_m, width, query_t, query_d, key_t, key_d,
    UPCAST: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """q k^T of queries n and keys m. UPCAST: Triton's interpreter multiplies no bfloat16."""
    s = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    for start in range(0, width, BLOCK_D):
        d = start + tl.arange(0, BLOCK_D)
        in_d = d < width
        a = tl.load(q + n.to(tl.int64)[:, None] * query_t + d.to(tl.int64)[None, :] * query_d,
                    mask=in_n[:, None] & in_d[None, :], other=0.0)  # fmt: skip
        b = tl.load(k + m.to(tl.int64)[None, :] * key_t + d.to(tl.int64)[:, None] * key_d,
                    mask=in_m[None, :] & in_d[:, None], other=0.0)  # fmt: skip
        if UPCAST:
            a, b = a.to(tl.float32), b.to(tl.float32)
        s = tl.dot(a, b, s, input_precision="ieee")
    return s


@triton.jit
def row_lse(
    queries, keys, lse, scale, count, tokens, width, heads, groups,
    query_b, query_h, query_t, query_d, key_b, key_h, key_t, key_d,
    CAUSAL: tl.constexpr, UPCAST: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # fmt: skip
    """log2 of each query's sum of 2^(scale q k); ``scale`` has log2(e) in it."""
    blocks = tl.cdiv(count, BLOCK_N)
    row = (tl.program_id(0) // blocks).to(tl.int64)  # of batch, key head, group
    n = (tl.program_id(0) % blocks) * BLOCK_N + tl.arange(0, BLOCK_N)
    in_n = n < count
    b, h = row // (heads * groups), row % (heads * groups)
    q = queries + b * query_b + h * query_h
    k = keys + b * key_b + (h // groups) * key_h
    top = tl.full((BLOCK_N,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_N,), tl.float32)
    end = tokens
    if CAUSAL:
        end = tl.minimum(tokens, tokens - count + (tl.program_id(0) % blocks + 1) * BLOCK_N)
    for first in range(0, end, BLOCK_M):
        m = first + tl.arange(0, BLOCK_M)
        s = scale * _logits(q, k, n, m, in_n, m < tokens, width, query_t, query_d, key_t, key_d,
                            UPCAST, BLOCK_N, BLOCK_M, BLOCK_D)  # fmt: skip
        seen = (m < tokens)[None, :]
        if CAUSAL:
            seen = seen & (m[None, :] <= (tokens - count + n)[:, None])
        s = tl.where(seen, s, float("-inf"))
        new = tl.maximum(top, tl.max(s, 1))  # the first block has a key that every query sees
        total = total * tl.exp2(top - new) + tl.sum(tl.exp2(s - new[:, None]), 1)
        top = new
    tl.store(lse + row * count + n, top + tl.log2(total), mask=in_n)


@triton.jit
def column_sums(
    queries, keys, lse, out, scale, count, tokens, width, heads, groups,
    query_b, query_h, query_t, query_d, key_b, key_h, key_t, key_d,
    CAUSAL: tl.constexpr, UPCAST: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # fmt: skip
    """A tile of keys, all queries that see it; ``lse`` as of `row_lse`."""
    blocks = tl.cdiv(tokens, BLOCK_M)
    row = (tl.program_id(0) // blocks).to(tl.int64)  # of batch, key head
    m = (tl.program_id(0) % blocks) * BLOCK_M + tl.arange(0, BLOCK_M)
    in_m = m < tokens
    b, h = row // heads, row % heads
    k = keys + b * key_b + h * key_h
    sums = tl.zeros((BLOCK_M,), tl.float32)
    start = 0
    if CAUSAL:  # the first query that sees the first key of the tile
        start = tl.maximum(0, (tl.program_id(0) % blocks) * BLOCK_M - (tokens - count))
        start = start // BLOCK_N * BLOCK_N
    for g in range(groups):
        head = h * groups + g
        q = queries + b * query_b + head * query_h
        for first in range(start, count, BLOCK_N):
            n = first + tl.arange(0, BLOCK_N)
            in_n = n < count
            s = scale * _logits(q, k, n, m, in_n, in_m, width, query_t, query_d, key_t, key_d,
                                UPCAST, BLOCK_N, BLOCK_M, BLOCK_D)  # fmt: skip
            base = tl.load(lse + (row * groups + g) * count + n, mask=in_n, other=0.0)
            seen = in_n[:, None] & in_m[None, :]
            if CAUSAL:
                seen = seen & (m[None, :] <= (tokens - count + n)[:, None])
            sums += tl.sum(tl.where(seen, tl.exp2(s - base[:, None]), 0.0), 0)
    tl.store(out + row * tokens + m, sums / groups, mask=in_m)


@triton.jit
def _squares(k, n, inside, center, d, width, key_t, key_d):
    """Squared distances of tokens n from the center."""
    x = tl.load(k + n.to(tl.int64)[:, None] * key_t + d.to(tl.int64)[None, :] * key_d,
                mask=inside[:, None] & (d < width)[None, :], other=0.0)  # fmt: skip
    gap = tl.where(inside[:, None], x.to(tl.float32) - center[None, :], 0.0)
    return tl.sum(gap * gap, 1)


@triton.jit
def merge(
    keys, values, counts, scores, starts, ends, out_keys, out_values, out_counts, pivots, sigma,
    slots, tokens, width, value_width, heads,
    key_b, key_h, key_t, key_d, value_b, value_h, value_t, value_d,
    HAS_COUNTS: tl.constexpr, GAUSSIAN: tl.constexpr, ADAPTIVE: tl.constexpr,
    BY_VALUE: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """A slot: the set of tokens [start, end), in tiles of BLOCK_N. An empty one is zero."""
    at = tl.program_id(0).to(tl.int64)
    row = at // slots
    start, end = tl.load(starts + at), tl.load(ends + at)
    k = keys + (row // heads) * key_b + (row % heads) * key_h
    v = values + (row // heads) * value_b + (row % heads) * value_h
    score, number = scores + row * tokens, counts + row * tokens
    d, e = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_V)
    in_d, in_e = d < width, e < value_width
    d64, e64 = d.to(tl.int64), e.to(tl.int64)

    pivot, best = start, float("-inf")
    total = start * 0
    for first in range(start, end, BLOCK_N):
        n = first + tl.arange(0, BLOCK_N)
        inside = n < end
        s = tl.load(score + n, mask=inside, other=float("-inf"))
        top = tl.max(s, 0)
        where = tl.min(tl.where((s == top) & inside, n, end), 0)
        pivot = tl.where(top > best, where, pivot)
        best = tl.maximum(best, top)
        if HAS_COUNTS:
            total += tl.sum(tl.load(number + n, mask=inside, other=0), 0)
        else:
            total += tl.sum(inside.to(tl.int32), 0)
    tl.store(out_counts + at, total)
    tl.store(pivots + at, tl.where(start < end, pivot, -1))

    in_d, in_e = in_d & (d * 0 + start < end), in_e & (e * 0 + start < end)
    merged_key = tl.load(k + pivot.to(tl.int64) * key_t + d64 * key_d, mask=in_d, other=0.0)
    merged_value = tl.load(v + pivot.to(tl.int64) * value_t + e64 * value_d, mask=in_e, other=0.0)
    if end - start > 1:
        center = merged_key.to(tl.float32)
        spread = sigma
        if ADAPTIVE:
            spread = sigma * 0.0
            for first in range(start, end, BLOCK_N):
                n = first + tl.arange(0, BLOCK_N)
                inside = n < end
                far = tl.sqrt(_squares(k, n, inside, center, d, width, key_t, key_d))
                if HAS_COUNTS:
                    far *= tl.load(number + n, mask=inside, other=0).to(tl.float32)
                spread += tl.sum(far, 0)
            spread = spread / (1.4142135623730951 * tl.maximum(total, 1).to(tl.float32))
        flat = spread <= 0
        factor = tl.where(flat, 0.0, 0.5 / tl.where(flat, 1.0, spread * spread))
        if not GAUSSIAN:
            factor = factor * 0.0
        sum_w = factor * 0.0
        for first in range(start, end, BLOCK_N):
            n = first + tl.arange(0, BLOCK_N)
            inside = n < end
            w = tl.exp(-factor * _squares(k, n, inside, center, d, width, key_t, key_d))
            if HAS_COUNTS:
                w *= tl.load(number + n, mask=inside, other=0).to(tl.float32)
            sum_w += tl.sum(tl.where(inside, w, 0.0), 0)
        # tokens that count for nothing (padding) have no weight, unless there are no others
        nothing = sum_w <= 0
        key_sum = tl.zeros((BLOCK_D,), tl.float32)
        value_sum = tl.zeros((BLOCK_V,), tl.float32)
        for first in range(start, end, BLOCK_N):
            n = first + tl.arange(0, BLOCK_N)
            inside = n < end
            n64 = n.to(tl.int64)[:, None]
            x = tl.load(k + n64 * key_t + d64[None, :] * key_d,
                        mask=inside[:, None] & in_d[None, :], other=0.0).to(tl.float32)  # fmt: skip
            y = tl.load(v + n64 * value_t + e64[None, :] * value_d,
                        mask=inside[:, None] & in_e[None, :], other=0.0).to(tl.float32)  # fmt: skip
            gap = tl.where(inside[:, None], x - center[None, :], 0.0)
            w = tl.exp(-factor * tl.sum(gap * gap, 1))
            size = tl.where(inside, 1.0, 0.0)
            if HAS_COUNTS:
                size = tl.load(number + n, mask=inside, other=0).to(tl.float32)
                w *= size
            w = tl.where(nothing, 1.0 / (end - start), w / tl.where(nothing, 1.0, sum_w))
            w = tl.where(inside, w, 0.0)
            key_sum += tl.sum(w[:, None] * x, 0)
            if BY_VALUE:
                w *= total.to(tl.float32) / tl.maximum(size, 1.0)
            value_sum += tl.sum(w[:, None] * y, 0)
        merged_key = key_sum.to(merged_key.dtype)
        merged_value = value_sum.to(merged_value.dtype)
    tl.store(out_keys + at * width + d, merged_key, mask=d < width)
    tl.store(out_values + at * value_width + e, merged_value, mask=e < value_width)


@triton.jit
def decode(
    queries, keys, values, counts, parts, lse, scale, rows, slots, length, width, value_width,
    heads, splits, key_b, key_h, key_t, key_d, value_b, value_h, value_t, value_d,
    BY_COUNT: tl.constexpr, UPCAST: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr,
    BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """Attention of a head's ``rows`` queries over ``length`` slots, and the log2 of its sum."""
    head = (tl.program_id(0) // splits).to(tl.int64)
    split = tl.program_id(0) % splits
    n, e = tl.arange(0, BLOCK_N), tl.arange(0, BLOCK_V)
    in_n, in_e = n < rows, e < value_width
    q = queries + head * rows * width
    k = keys + (head // heads) * key_b + (head % heads) * key_h
    v = values + (head // heads) * value_b + (head % heads) * value_h
    top = tl.full((BLOCK_N,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_N,), tl.float32)
    out = tl.zeros((BLOCK_N, BLOCK_V), tl.float32)
    begin = split * length
    for first in range(begin, tl.minimum(begin + length, slots), BLOCK_M):
        m = first + tl.arange(0, BLOCK_M)
        in_m = (m < slots) & (m < begin + length)
        s = scale * _logits(q, k, n, m, in_n, in_m, width, width, 1, key_t, key_d,
                            UPCAST, BLOCK_N, BLOCK_M, BLOCK_D)  # fmt: skip
        number = tl.load(counts + head * slots + m, mask=in_m, other=0)
        if BY_COUNT:
            s += tl.log2(tl.maximum(number, 1).to(tl.float32))[None, :]
        s = tl.where((number > 0)[None, :], s, float("-inf"))
        new = tl.maximum(top, tl.max(s, 1))
        safe = tl.where(new == float("-inf"), 0.0, new)  # only empty slots so far
        p = tl.exp2(s - safe[:, None])
        shrink = tl.exp2(top - safe)
        y = tl.load(v + m.to(tl.int64)[:, None] * value_t + e.to(tl.int64)[None, :] * value_d,
                    mask=in_m[:, None] & in_e[None, :], other=0.0)  # fmt: skip
        total = total * shrink + tl.sum(p, 1)
        if UPCAST:
            y = y.to(tl.float32)
        out = out * shrink[:, None] + tl.dot(p.to(y.dtype), y, input_precision="ieee")
        top = new
    some = total > 0
    out = out / tl.where(some, total, 1.0)[:, None]
    at = (head * splits + split) * rows + n
    tl.store(
        parts + at[:, None] * value_width + e[None, :], out, mask=in_n[:, None] & in_e[None, :]
    )
    tl.store(lse + at, tl.where(some, top + tl.log2(tl.where(some, total, 1.0)), float("-inf")),
             mask=in_n)  # fmt: skip
