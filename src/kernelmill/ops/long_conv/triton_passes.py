"""Triton kernels for rows beyond one program: three passes over memory, whatever the length.

M = P m. The first pass takes a polynomial modulo X^M - i to its remainders modulo X^m - r_j^m,
j < P, and substitutes r_j X for X: all of them are then modulo X^m - 1. The middle pass convolves
these P parts, each whole in a program; the last is the first one's adjoint. ``outer`` holds
F (P, P) and T (P, m), real and imaginary parts, with

    z[j, b] = T[j, b] sum_a F[j, a] x[a m + b]

and ``inner`` the tables of `triton_kernels` for length m, without the quarter turn. Between the
passes lie complex numbers (rows, 2, P, m).
"""

# ruff: noqa: E501, N803
import triton
import triton.language as tl

from kernelmill.ops.long_conv.triton_kernels import (
    _adjoint_times,
    _down,
    _gated,
    _gradient,
    _input,
    _limit,
    _store_input,
    _store_output,
    _store_taps,
    _taps,
    _times,
    _up,
)


@triton.jit
def _at(PARTS: tl.constexpr, WIDTH: tl.constexpr, m):
    """Positions (PARTS, WIDTH) of this program's columns: a m + b in a row, j m + b in parts."""
    a = tl.arange(0, PARTS)[:, None]
    b = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)[None, :]
    return a * m + b


@triton.jit
def _split(re, im, t, outer, work, row, m, PARTS: tl.constexpr, COMPLEX: tl.constexpr,
           PRECISION: tl.constexpr):  # fmt: skip
    y_re, y_im = _times(outer, re, im, PARTS, COMPLEX, PRECISION)
    turn = outer + 2 * PARTS * PARTS + t
    t_re, t_im = tl.load(turn), tl.load(turn + PARTS * m)
    to = work + row * 2 * PARTS * m + t
    tl.store(to, y_re * t_re - y_im * t_im)
    tl.store(to + PARTS * m, y_re * t_im + y_im * t_re)


@triton.jit
def _merge(t, outer, work, row, m, PARTS: tl.constexpr, COMPLEX: tl.constexpr,
           PRECISION: tl.constexpr):  # fmt: skip
    source = work + row * 2 * PARTS * m + t
    z_re, z_im = tl.load(source), tl.load(source + PARTS * m)
    turn = outer + 2 * PARTS * PARTS + t
    t_re, t_im = tl.load(turn), tl.load(turn + PARTS * m)
    y_re, y_im = z_re * t_re + z_im * t_im, z_im * t_re - z_re * t_im
    return _adjoint_times(outer, y_re, y_im, PARTS, COMPLEX, PRECISION)


@triton.jit
def split_input(
    u, in_gate, lengths, outer, work, heads, length, m, u_b, u_h, u_t, i_b, i_h, i_t,
    PARTS: tl.constexpr, WIDTH: tl.constexpr, IN: tl.constexpr, HAS_LENGTHS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    h, b = row % heads, row // heads
    t = _at(PARTS, WIDTH, m)
    limit = _limit(lengths, b, length, HAS_LENGTHS)
    x = _gated(u, in_gate, b, h, t, limit, u_b, u_h, u_t, i_b, i_h, i_t, IN)
    _split(x, x, t, outer, work, row, m, PARTS, False, PRECISION)


@triton.jit
def split_gradient(
    grad, out_gate, outer, work, kernels, heads, length, m, o_b, o_c, o_h, o_t, g_b, g_c, g_h, g_t,
    PARTS: tl.constexpr, WIDTH: tl.constexpr, OUT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    h, c, b = row % heads, row // heads % kernels, row // heads // kernels
    t = _at(PARTS, WIDTH, m)
    g = _gradient(grad, out_gate, b, c, h, t, length, g_b, g_c, g_h, g_t, o_b, o_c, o_h, o_t, OUT)
    _split(g, g, t, outer, work, row, m, PARTS, False, PRECISION)


@triton.jit
def split_kernel(
    k, k_rev, outer, work, taps, ahead, offset, m,
    PARTS: tl.constexpr, WIDTH: tl.constexpr, HAS_REVERSE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    t = _at(PARTS, WIDTH, m)
    re, im = _taps(k, k_rev, row, t, PARTS * m, taps, ahead, offset, HAS_REVERSE)
    _split(re, im, t, outer, work, row, m, PARTS, HAS_REVERSE, PRECISION)


@triton.jit
def _part(work, row, j, PARTS: tl.constexpr, N1: tl.constexpr, N2: tl.constexpr):
    """Pointers to the real parts of part j of a row."""
    M: tl.constexpr = N1 * N2
    t = tl.arange(0, N1)[:, None] * N2 + tl.arange(0, N2)[None, :]
    return work + (row * 2 * PARTS + j) * M + t


@triton.jit
def _part_down(work, row, j, inner, PARTS: tl.constexpr, N1: tl.constexpr, N2: tl.constexpr,
               PRECISION: tl.constexpr):  # fmt: skip
    at = _part(work, row, j, PARTS, N1, N2)
    return _down(tl.load(at), tl.load(at + PARTS * N1 * N2), inner, N1, N2, True, PRECISION)


@triton.jit
def _part_up(re, im, work, row, j, inner, PARTS: tl.constexpr, N1: tl.constexpr, N2: tl.constexpr,
             PRECISION: tl.constexpr):  # fmt: skip
    re, im = _up(re, im, inner, N1, N2, True, PRECISION)
    at = _part(work, row, j, PARTS, N1, N2)
    tl.store(at, re)
    tl.store(at + PARTS * N1 * N2, im)


@triton.jit
def part_values(
    work, inner, PARTS: tl.constexpr, N1: tl.constexpr, N2: tl.constexpr, PRECISION: tl.constexpr
):
    """In place: each part's values at its roots, divided by M."""
    row, j = tl.program_id(0).to(tl.int64), tl.program_id(1)
    re, im = _part_down(work, row, j, inner, PARTS, N1, N2, PRECISION)
    at = _part(work, row, j, PARTS, N1, N2)
    tl.store(at, re / (PARTS * N1 * N2))
    tl.store(at + PARTS * N1 * N2, im / (PARTS * N1 * N2))


@triton.jit
def part_convolve(
    work, values, result, inner, kernels, heads,
    PARTS: tl.constexpr, N1: tl.constexpr, N2: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """work (B H), values (C H) -> result (B C H)."""
    row, j = tl.program_id(0).to(tl.int64), tl.program_id(1)
    h, c, b = row % heads, row // heads % kernels, row // heads // kernels
    x_re, x_im = _part_down(work, b * heads + h, j, inner, PARTS, N1, N2, PRECISION)
    at = _part(values, c * heads + h, j, PARTS, N1, N2)
    k_re, k_im = tl.load(at), tl.load(at + PARTS * N1 * N2)
    _part_up(x_re * k_re - x_im * k_im, x_re * k_im + x_im * k_re, result, row, j, inner, PARTS,
             N1, N2, PRECISION)  # fmt: skip


@triton.jit
def part_input_gradient(
    grads, values, result, inner, kernels, heads,
    PARTS: tl.constexpr, N1: tl.constexpr, N2: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """grads (B C H), values (C H) -> result (B H)."""
    row, j = tl.program_id(0).to(tl.int64), tl.program_id(1)
    h, b = row % heads, row // heads
    sum_re = tl.zeros((N1, N2), tl.float32)
    sum_im = tl.zeros((N1, N2), tl.float32)
    for c in range(kernels):
        g_re, g_im = _part_down(grads, (b * kernels + c) * heads + h, j, inner, PARTS, N1, N2,
                                PRECISION)  # fmt: skip
        at = _part(values, c * heads + h, j, PARTS, N1, N2)
        k_re, k_im = tl.load(at), tl.load(at + PARTS * N1 * N2)
        sum_re += g_re * k_re + g_im * k_im
        sum_im += g_im * k_re - g_re * k_im
    _part_up(sum_re, sum_im, result, row, j, inner, PARTS, N1, N2, PRECISION)


@triton.jit
def part_kernel_gradient(
    work, grads, result, inner, batch, kernels, heads,
    PARTS: tl.constexpr, N1: tl.constexpr, N2: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """work (B H), grads (B C H) -> result (C H)."""
    row, j = tl.program_id(0).to(tl.int64), tl.program_id(1)
    h, c = row % heads, row // heads
    sum_re = tl.zeros((N1, N2), tl.float32)
    sum_im = tl.zeros((N1, N2), tl.float32)
    for b in range(batch):
        x_re, x_im = _part_down(work, b * heads + h, j, inner, PARTS, N1, N2, PRECISION)
        g_re, g_im = _part_down(grads, (b * kernels + c) * heads + h, j, inner, PARTS, N1, N2,
                                PRECISION)  # fmt: skip
        sum_re += g_re * x_re + g_im * x_im
        sum_im += g_im * x_re - g_re * x_im
    scale = 1.0 / (PARTS * N1 * N2)
    _part_up(sum_re * scale, sum_im * scale, result, row, j, inner, PARTS, N1, N2, PRECISION)


@triton.jit
def merge_output(
    work, outer, u, in_gate, out_gate, skip, lengths, y, kernels, heads, length, m,
    u_b, u_h, u_t, i_b, i_h, i_t, o_b, o_c, o_h, o_t,
    PARTS: tl.constexpr, WIDTH: tl.constexpr, IN: tl.constexpr, OUT: tl.constexpr,
    SKIP: tl.constexpr, HAS_LENGTHS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    h, c, b = row % heads, row // heads % kernels, row // heads // kernels
    t = _at(PARTS, WIDTH, m)
    result, _ = _merge(t, outer, work, row, m, PARTS, False, PRECISION)
    if SKIP:
        limit = _limit(lengths, b, length, HAS_LENGTHS)
        x = _gated(u, in_gate, b, h, t, limit, u_b, u_h, u_t, i_b, i_h, i_t, IN)
        result += tl.load(skip + c * heads + h) * x
    _store_output(y, out_gate, row, b, c, h, t, length, result, o_b, o_c, o_h, o_t, OUT)


@triton.jit
def merge_input_gradient(
    work, outer, grad, u, in_gate, out_gate, skip, lengths, grad_u, grad_gate,
    kernels, heads, length, m, u_b, u_h, u_t, i_b, i_h, i_t, o_b, o_c, o_h, o_t,
    g_b, g_c, g_h, g_t,
    PARTS: tl.constexpr, WIDTH: tl.constexpr, IN: tl.constexpr, OUT: tl.constexpr,
    SKIP: tl.constexpr, HAS_LENGTHS: tl.constexpr, TO_U: tl.constexpr, TO_GATE: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    h, b = row % heads, row // heads
    t = _at(PARTS, WIDTH, m)
    found, _ = _merge(t, outer, work, row, m, PARTS, False, PRECISION)
    if SKIP:
        for c in range(kernels):
            g = _gradient(grad, out_gate, b, c, h, t, length, g_b, g_c, g_h, g_t, o_b, o_c, o_h,
                          o_t, OUT)  # fmt: skip
            found += tl.load(skip + c * heads + h) * g
    limit = _limit(lengths, b, length, HAS_LENGTHS)
    found = tl.where(t < limit, found, 0.0)
    x, gate = _input(u, in_gate, b, h, t, limit, u_b, u_h, u_t, i_b, i_h, i_t, IN)
    _store_input(grad_u, grad_gate, row, t, length, found, x, gate, IN, TO_U, TO_GATE)


@triton.jit
def merge_kernel_gradient(
    work, outer, grad_k, grad_rev, taps, ahead, offset, m,
    PARTS: tl.constexpr, WIDTH: tl.constexpr, HAS_REVERSE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    t = _at(PARTS, WIDTH, m)
    re, im = _merge(t, outer, work, row, m, PARTS, HAS_REVERSE, PRECISION)
    _store_taps(grad_k, grad_rev, row, t, PARTS * m, taps, ahead, offset, re, im, HAS_REVERSE)
