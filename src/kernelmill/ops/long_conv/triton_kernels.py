"""The Triton kernels of long convolutions (imported when first launched).

A row is a polynomial modulo X^M - i (see csrc/fft.h: the coefficients from M on of a product of
real polynomials are its imaginary parts), M = N1 N2, and its values at the roots are a Monarch
product: with n = a N2 + b and root k = k1 + N1 k2::

    V[k1, k2] = sum_b F2[b, k2] T[k1, b] sum_a F1[k1, a] x[a, b]

``tables`` holds real and imaginary parts of F1 (N1, N1), T (N1, N2) and F2 (N2, N2).
"""

# ruff: noqa: E501, N803
import triton
import triton.language as tl


@triton.jit
def _matrix(tables, ROWS: tl.constexpr, COLUMNS: tl.constexpr, FLIPPED: tl.constexpr):
    """The matrix at ``tables``; its transpose where FLIPPED (ROWS = COLUMNS then)."""
    i, j = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    if FLIPPED:
        at = j * ROWS + i
    else:
        at = i * COLUMNS + j
    return tl.load(tables + at)


@triton.jit
def _times(tables, re, im, N: tl.constexpr, COMPLEX: tl.constexpr, PRECISION: tl.constexpr):
    """The complex matrix (N, N) at ``tables`` times re + i im; without COMPLEX im is zero."""
    f_re, f_im = _matrix(tables, N, N, False), _matrix(tables + N * N, N, N, False)
    y_re = tl.dot(f_re, re, input_precision=PRECISION)
    y_im = tl.dot(f_im, re, input_precision=PRECISION)
    if COMPLEX:
        y_re -= tl.dot(f_im, im, input_precision=PRECISION)
        y_im += tl.dot(f_re, im, input_precision=PRECISION)
    return y_re, y_im


@triton.jit
def _adjoint_times(tables, re, im, N: tl.constexpr, COMPLEX: tl.constexpr, PRECISION: tl.constexpr):
    """Its adjoint times re + i im; without COMPLEX the real part only."""
    f_re, f_im = _matrix(tables, N, N, True), _matrix(tables + N * N, N, N, True)
    x_re = tl.dot(f_re, re, input_precision=PRECISION)
    x_re += tl.dot(f_im, im, input_precision=PRECISION)
    x_im = x_re
    if COMPLEX:
        x_im = tl.dot(f_re, im, input_precision=PRECISION)
        x_im -= tl.dot(f_im, re, input_precision=PRECISION)
    return x_re, x_im


@triton.jit
def _down(re, im, tables, N1: tl.constexpr, N2: tl.constexpr, COMPLEX: tl.constexpr,
          PRECISION: tl.constexpr):  # fmt: skip
    """Values of x (N1, N2) at the roots."""
    y_re, y_im = _times(tables, re, im, N1, COMPLEX, PRECISION)
    tables += 2 * N1 * N1
    t_re, t_im = _matrix(tables, N1, N2, False), _matrix(tables + N1 * N2, N1, N2, False)
    z_re, z_im = y_re * t_re - y_im * t_im, y_re * t_im + y_im * t_re
    tables += 2 * N1 * N2
    f_re, f_im = _matrix(tables, N2, N2, False), _matrix(tables + N2 * N2, N2, N2, False)
    v_re = tl.dot(z_re, f_re, input_precision=PRECISION)
    v_re -= tl.dot(z_im, f_im, input_precision=PRECISION)
    v_im = tl.dot(z_re, f_im, input_precision=PRECISION)
    v_im += tl.dot(z_im, f_re, input_precision=PRECISION)
    return v_re, v_im


@triton.jit
def _up(re, im, tables, N1: tl.constexpr, N2: tl.constexpr, COMPLEX: tl.constexpr,
        PRECISION: tl.constexpr):  # fmt: skip
    """The adjoint of `_down`: M times its inverse. Without COMPLEX the real part only."""
    second = tables + 2 * N1 * N1 + 2 * N1 * N2
    f_re, f_im = _matrix(second, N2, N2, False), _matrix(second + N2 * N2, N2, N2, False)
    y_re = tl.dot(re, f_re, input_precision=PRECISION)
    y_re += tl.dot(im, f_im, input_precision=PRECISION)
    y_im = tl.dot(im, f_re, input_precision=PRECISION)
    y_im -= tl.dot(re, f_im, input_precision=PRECISION)
    middle = tables + 2 * N1 * N1
    t_re, t_im = _matrix(middle, N1, N2, False), _matrix(middle + N1 * N2, N1, N2, False)
    z_re, z_im = y_re * t_re + y_im * t_im, y_im * t_re - y_re * t_im
    return _adjoint_times(tables, z_re, z_im, N1, COMPLEX, PRECISION)


@triton.jit
def _input(u, in_gate, b, h, t, limit, u_b, u_h, u_t, i_b, i_h, i_t, GATED: tl.constexpr):
    """(u, in_gate) at positions t, zero from ``limit`` on."""
    x = tl.load(u + b * u_b + h * u_h + t * u_t, mask=t < limit, other=0.0).to(tl.float32)
    gate = x
    if GATED:
        gate = tl.load(in_gate + b * i_b + h * i_h + t * i_t, mask=t < limit, other=0.0)
        gate = gate.to(tl.float32)
    return x, gate


@triton.jit
def _gated(u, in_gate, b, h, t, limit, u_b, u_h, u_t, i_b, i_h, i_t, GATED: tl.constexpr):
    """What is convolved: u, times in_gate if there is one."""
    x, gate = _input(u, in_gate, b, h, t, limit, u_b, u_h, u_t, i_b, i_h, i_t, GATED)
    if GATED:
        x = x * gate
    return x


@triton.jit
def _limit(lengths, b, length, HAS_LENGTHS: tl.constexpr):
    limit = length
    if HAS_LENGTHS:
        limit = tl.minimum(length, tl.load(lengths + b).to(tl.int32))
    return limit


@triton.jit
def _taps(k, k_rev, row, t, size, taps, ahead, offset, HAS_REVERSE: tl.constexpr):
    """A kernel as a polynomial modulo X^size - i, at t: lag -d is -i X^(size - d)."""
    re = tl.load(k + row * taps + t, mask=t < taps, other=0.0)
    im = re
    if HAS_REVERSE:
        tap = size - t - offset
        im = -tl.load(k_rev + row * ahead + tap, mask=(tap >= 0) & (tap < ahead), other=0.0)
        re += tl.load(k_rev + row * ahead + t, mask=t == offset * size, other=0.0)
    return re, im


@triton.jit
def _store_taps(
    grad_k, grad_rev, row, t, size, taps, ahead, offset, re, im, HAS_REVERSE: tl.constexpr
):
    """The adjoint of `_taps`: where the gradients of a kernel lie in such a polynomial."""
    tl.store(grad_k + row * taps + t, re, mask=t < taps)
    if HAS_REVERSE:
        tap = size - t - offset
        tl.store(grad_rev + row * ahead + tap, -im, mask=(tap >= 0) & (tap < ahead))
        tl.store(grad_rev + row * ahead + t, re, mask=t == offset * size)


@triton.jit
def kernel_values(
    k, k_rev, values, tables, taps, ahead, offset,
    N1: tl.constexpr, N2: tl.constexpr, HAS_REVERSE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """values (rows, 2, M): those of each kernel, divided by M."""
    M: tl.constexpr = N1 * N2
    row = tl.program_id(0).to(tl.int64)
    t = tl.arange(0, N1)[:, None] * N2 + tl.arange(0, N2)[None, :]
    re, im = _taps(k, k_rev, row, t, M, taps, ahead, offset, HAS_REVERSE)
    v_re, v_im = _down(re, im, tables, N1, N2, HAS_REVERSE, PRECISION)
    tl.store(values + row * 2 * M + t, v_re / M)
    tl.store(values + row * 2 * M + M + t, v_im / M)


@triton.jit
def _store_output(y, out_gate, row, b, c, h, t, length, result, o_b, o_c, o_h, o_t,
                  OUT: tl.constexpr):  # fmt: skip
    if OUT:
        at = b * o_b + c * o_c + h * o_h + t * o_t
        result *= tl.load(out_gate + at, mask=t < length, other=0.0).to(tl.float32)
    tl.store(y + row * length + t, result.to(y.dtype.element_ty), mask=t < length)


@triton.jit
def convolve(
    u, in_gate, out_gate, skip, lengths, values, tables, y, kernels, heads, length,
    u_b, u_h, u_t, i_b, i_h, i_t, o_b, o_c, o_h, o_t,
    N1: tl.constexpr, N2: tl.constexpr, IN: tl.constexpr, OUT: tl.constexpr, SKIP: tl.constexpr,
    HAS_LENGTHS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """y (B, C, H, L): a program per row."""
    M: tl.constexpr = N1 * N2
    row = tl.program_id(0).to(tl.int64)
    h, c, b = row % heads, row // heads % kernels, row // heads // kernels
    t = tl.arange(0, N1)[:, None] * N2 + tl.arange(0, N2)[None, :]
    limit = _limit(lengths, b, length, HAS_LENGTHS)
    x = _gated(u, in_gate, b, h, t, limit, u_b, u_h, u_t, i_b, i_h, i_t, IN)
    x_re, x_im = _down(x, x, tables, N1, N2, False, PRECISION)
    kernel = values + (c * heads + h) * 2 * M
    k_re, k_im = tl.load(kernel + t), tl.load(kernel + M + t)
    result, _ = _up(x_re * k_re - x_im * k_im, x_re * k_im + x_im * k_re, tables, N1, N2, False,
                    PRECISION)  # fmt: skip
    if SKIP:
        result += tl.load(skip + c * heads + h) * x
    _store_output(y, out_gate, row, b, c, h, t, length, result, o_b, o_c, o_h, o_t, OUT)


@triton.jit
def _gradient(grad, out_gate, b, c, h, t, length, g_b, g_c, g_h, g_t, o_b, o_c, o_h, o_t,
              OUT: tl.constexpr):  # fmt: skip
    """The gradient of what out_gate multiplies."""
    g = tl.load(grad + b * g_b + c * g_c + h * g_h + t * g_t, mask=t < length, other=0.0)
    g = g.to(tl.float32)
    if OUT:
        at = b * o_b + c * o_c + h * o_h + t * o_t
        g *= tl.load(out_gate + at, mask=t < length, other=0.0).to(tl.float32)
    return g


@triton.jit
def _store_input(
    grad_u, grad_gate, row, t, length, found, x, gate,
    IN: tl.constexpr, TO_U: tl.constexpr, TO_GATE: tl.constexpr,
):  # fmt: skip
    """Gradients of u = x and in_gate from that of their product."""
    at = row * length + t
    if TO_GATE:
        tl.store(grad_gate + at, (found * x).to(grad_gate.dtype.element_ty), mask=t < length)
    if TO_U:
        if IN:
            found *= gate
        tl.store(grad_u + at, found.to(grad_u.dtype.element_ty), mask=t < length)


@triton.jit
def input_gradient(
    grad, u, in_gate, out_gate, skip, lengths, values, tables, grad_u, grad_gate,
    kernels, heads, length, u_b, u_h, u_t, i_b, i_h, i_t, o_b, o_c, o_h, o_t, g_b, g_c, g_h, g_t,
    N1: tl.constexpr, N2: tl.constexpr, IN: tl.constexpr, OUT: tl.constexpr, SKIP: tl.constexpr,
    HAS_LENGTHS: tl.constexpr, TO_U: tl.constexpr, TO_GATE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradients of u and in_gate, contiguous: a program per sample and channel."""
    M: tl.constexpr = N1 * N2
    row = tl.program_id(0).to(tl.int64)
    h, b = row % heads, row // heads
    t = tl.arange(0, N1)[:, None] * N2 + tl.arange(0, N2)[None, :]
    limit = _limit(lengths, b, length, HAS_LENGTHS)
    sum_re = tl.zeros((N1, N2), tl.float32)
    sum_im = tl.zeros((N1, N2), tl.float32)
    direct = tl.zeros((N1, N2), tl.float32)
    for c in range(kernels):
        g = _gradient(grad, out_gate, b, c, h, t, length, g_b, g_c, g_h, g_t, o_b, o_c, o_h, o_t,
                      OUT)  # fmt: skip
        g_re, g_im = _down(g, g, tables, N1, N2, False, PRECISION)
        kernel = values + (c * heads + h) * 2 * M
        k_re, k_im = tl.load(kernel + t), tl.load(kernel + M + t)
        sum_re += g_re * k_re + g_im * k_im
        sum_im += g_im * k_re - g_re * k_im
        if SKIP:
            direct += tl.load(skip + c * heads + h) * g
    found, _ = _up(sum_re, sum_im, tables, N1, N2, False, PRECISION)
    found = tl.where(t < limit, found + direct, 0.0)
    x, gate = _input(u, in_gate, b, h, t, limit, u_b, u_h, u_t, i_b, i_h, i_t, IN)
    _store_input(grad_u, grad_gate, row, t, length, found, x, gate, IN, TO_U, TO_GATE)


@triton.jit
def kernel_gradient(
    grad, u, in_gate, out_gate, lengths, tables, grad_k, grad_rev, batch, kernels, heads, length,
    taps, ahead, offset, u_b, u_h, u_t, i_b, i_h, i_t, o_b, o_c, o_h, o_t, g_b, g_c, g_h, g_t,
    N1: tl.constexpr, N2: tl.constexpr, IN: tl.constexpr, OUT: tl.constexpr,
    HAS_LENGTHS: tl.constexpr, HAS_REVERSE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """A program per kernel and part of the batch: grad_k (parts, C H, taps), grad_rev likewise."""
    M: tl.constexpr = N1 * N2
    row = tl.program_id(0).to(tl.int64)
    part, parts = tl.program_id(1), tl.num_programs(1)
    h, c = row % heads, row // heads
    t = tl.arange(0, N1)[:, None] * N2 + tl.arange(0, N2)[None, :]
    sum_re = tl.zeros((N1, N2), tl.float32)
    sum_im = tl.zeros((N1, N2), tl.float32)
    for i in range(part, batch, parts):
        b = tl.zeros((), tl.int64) + i
        limit = _limit(lengths, b, length, HAS_LENGTHS)
        x = _gated(u, in_gate, b, h, t, limit, u_b, u_h, u_t, i_b, i_h, i_t, IN)
        x_re, x_im = _down(x, x, tables, N1, N2, False, PRECISION)
        g = _gradient(grad, out_gate, b, c, h, t, length, g_b, g_c, g_h, g_t, o_b, o_c, o_h, o_t,
                      OUT)  # fmt: skip
        g_re, g_im = _down(g, g, tables, N1, N2, False, PRECISION)
        sum_re += g_re * x_re + g_im * x_im
        sum_im += g_im * x_re - g_re * x_im
    re, im = _up(sum_re / M, sum_im / M, tables, N1, N2, HAS_REVERSE, PRECISION)
    rows = tl.num_programs(0).to(tl.int64)
    at = part * rows + row
    _store_taps(grad_k, grad_rev, at, t, M, taps, ahead, offset, re, im, HAS_REVERSE)
