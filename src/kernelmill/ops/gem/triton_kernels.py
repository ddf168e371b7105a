"""The Triton kernels of generalised-mean pooling (imported when first launched)."""

# ruff: noqa: E501, N803
import triton
import triton.language as tl


@triton.jit
def _size(x, MODE: tl.constexpr):
    if MODE != 0:
        x = tl.abs(x)
    return x


@triton.jit
def gem_forward(
    x, p, mask, y, wide, slope, eps, count, channels, groups, stride_b, stride_n, stride_c,
    HAS_MASK: tl.constexpr, MODE: tl.constexpr, SAVE: tl.constexpr, WIDE: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    LN2: tl.constexpr = 0.6931471805599453
    blocks = tl.cdiv(channels, BLOCK_C)
    b = (tl.program_id(0) // blocks).to(tl.int64)
    c = (tl.program_id(0) % blocks) * BLOCK_C + tl.arange(0, BLOCK_C)
    in_c = c < channels
    power = tl.load(p + c * groups // channels, mask=in_c, other=1.0).to(tl.float32)
    base = x + b * stride_b + c.to(tl.int64)[None, :] * stride_c
    top = tl.full((BLOCK_C,), float("-inf"), tl.float32)  # of u = p log2 z
    s = tl.zeros((BLOCK_C,), tl.float32)
    t = tl.zeros((BLOCK_C,), tl.float32)
    kept = tl.zeros((BLOCK_C,), tl.float32)
    mean = tl.zeros((BLOCK_C,), tl.float32)  # of l = log2 z
    for start in range(0, count, BLOCK_N):
        n = start + tl.arange(0, BLOCK_N)
        keep = n < count
        if HAS_MASK:
            keep = keep & (tl.load(mask + b * count + n, mask=keep, other=0) != 0)
        valid = keep[:, None] & in_c[None, :]
        value = tl.load(base + n.to(tl.int64)[:, None] * stride_n, mask=valid, other=1.0)
        value = value.to(tl.float32)
        size = _size(value, MODE)
        l = tl.log2(tl.where(size < eps, eps, size))  # noqa: E741
        u = tl.where(valid, power[None, :] * l, float("-inf"))
        new = tl.maximum(top, tl.max(u, 0))
        safe = tl.where(new == float("-inf"), 0.0, new)  # nothing kept so far
        shrink = tl.exp2(top - safe)
        e = tl.exp2(u - safe[None, :])
        if MODE == 2:
            e = tl.where(value < 0, -e, e)
        s = s * shrink + tl.sum(e, 0)
        t = t * shrink + tl.sum(e * tl.where(valid, l, 0.0), 0)
        more = tl.sum(valid.to(tl.float32), 0)
        kept += more
        step = tl.sum(tl.where(valid, l - mean[None, :], 0.0), 0)
        mean += step / tl.maximum(kept, 1.0)
        top = new
    whole = tl.abs(s) if MODE == 2 else s
    exponent = (top + tl.log2(whole / kept)) / power
    out = tl.exp2(exponent)
    rate = out / power * LN2 * (t / s - exponent)
    if MODE == 2:
        low = (out < eps) | (whole == 0)
        rate = tl.where(low, 0.0, tl.where(s < 0, -rate, rate))
        out = tl.where(out < eps, eps, out)
        out = tl.where(whole == 0, 0.0, tl.where(s < 0, -out, out))
    else:
        near = in_c & (tl.abs(power) < 0.1)
        if tl.max(near.to(tl.int32), 0) > 0:
            # Sums around the mean of ln z: nothing is divided by p (see csrc/gem.cpp).
            a = tl.zeros((BLOCK_C,), tl.float32)
            h = tl.zeros((BLOCK_C,), tl.float32)
            for start in range(0, count, BLOCK_N):
                n = start + tl.arange(0, BLOCK_N)
                keep = n < count
                if HAS_MASK:
                    keep = keep & (tl.load(mask + b * count + n, mask=keep, other=0) != 0)
                valid = keep[:, None] & in_c[None, :]
                value = tl.load(base + n.to(tl.int64)[:, None] * stride_n, mask=valid, other=1.0)
                size = _size(value.to(tl.float32), MODE)
                l = tl.log2(tl.where(size < eps, eps, size))  # noqa: E741
                d = tl.where(valid, l - mean[None, :], 0.0) * LN2
                u = d * power[None, :]
                g = tl.full((BLOCK_N, BLOCK_C), 0.0, tl.float32)
                for k in tl.static_range(10, 0, -1):
                    g = (g * u + 1.0) / (k + 1)
                wide_u = tl.where(tl.abs(u) < 1.0, 1.0, u)
                g = tl.where(tl.abs(u) < 1.0, g, (tl.exp(u) - 1 - u) / (wide_u * wide_u))
                a += tl.sum(d * d * g, 0)
                h += tl.sum(d * d * (1 + u * g), 0)
            a, h = a / kept, h / kept
            v = power * power * a
            ratio = tl.where(v < 1e-2, 1 - v * (0.5 - v * (1 / 3 - v / 4)),
                             tl.log(1 + v) / tl.maximum(v, 1e-2))  # fmt: skip
            series = tl.exp2(mean + power * a * ratio / LN2)
            out = tl.where(near, series, out)
            rate = tl.where(near, series * (h / (1 + v) - a * ratio), rate)
    at = b * channels + c
    tl.store(y + at, out.to(y.dtype.element_ty), mask=in_c)
    if WIDE:
        tl.store(wide + at, out, mask=in_c)
    if SAVE:
        tl.store(slope + at, rate, mask=in_c)


@triton.jit
def gem_backward(
    grad, x, p, mask, kept, y, grad_x, eps, count, channels, groups,
    stride_b, stride_n, stride_c, out_b, out_n, out_c,
    HAS_MASK: tl.constexpr, MODE: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    blocks = tl.cdiv(channels, BLOCK_C)
    b = (tl.program_id(0) // blocks).to(tl.int64)
    c = (tl.program_id(0) % blocks) * BLOCK_C + tl.arange(0, BLOCK_C)
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    in_c, in_n = c < channels, n < count
    valid = in_n[:, None] & in_c[None, :]
    at = b * channels + c
    power = tl.load(p + c * groups // channels, mask=in_c, other=1.0).to(tl.float32)
    pooled = tl.load(y + at, mask=in_c, other=1.0)
    number = tl.load(kept + b) * 1.0 if HAS_MASK else count * 1.0
    factor = tl.load(grad + at, mask=in_c, other=0.0).to(tl.float32) / number
    if MODE == 2:
        pooled = tl.abs(pooled)
        factor = tl.where(pooled <= eps, 0.0, factor)
        pooled = tl.where(pooled < eps, eps, pooled)
    n64, c64 = n.to(tl.int64), c.to(tl.int64)
    value = tl.load(
        x + b * stride_b + n64[:, None] * stride_n + c64[None, :] * stride_c, mask=valid, other=1.0
    ).to(tl.float32)
    size = _size(value, MODE)
    z = tl.where(size < eps, eps, size)
    g = factor[None, :] * tl.exp2((power - 1)[None, :] * tl.log2(z / pooled[None, :]))
    if MODE == 1:
        g = tl.where(value < 0, -g, g)
    g = tl.where(size < eps, 0.0, g)
    if HAS_MASK:
        keep = tl.load(mask + b * count + n, mask=in_n, other=0) != 0
        g = tl.where(keep[:, None], g, 0.0)
    to = grad_x + b * out_b + n64[:, None] * out_n + c64[None, :] * out_c
    tl.store(to, g.to(grad_x.dtype.element_ty), mask=valid)
