"""The Triton kernels of neighborhood attention (imported when first launched).

A program owns a tile of tokens of one dilation group on three axes: queries in the forward pass and
for their gradient, keys for the gradients of keys and values. What the tile's first and last token
of every axis reach is the box of tokens on the other side; the program walks over it in tiles of
its own shape. Tables hold, for every token of every axis, the first and last token that it attends
(or, for keys, that attends it), in coordinates of the dilation group. Both ends never decrease, so
the same four corners tell where the box begins and ends, and which part of it every token of the
tile attends: no mask is needed there.
"""

# ruff: noqa: E501, N803
import triton
import triton.language as tl

from kernelmill.ops.registry import interpreting

LOG2E: tl.constexpr = tl.constexpr(1.4426950408889634)
LN2: tl.constexpr = tl.constexpr(0.6931471805599453)
INTERPRETING: tl.constexpr = tl.constexpr(interpreting())


@triton.jit
def _dot(a, b):
    """In float32 throughout; Triton's interpreter cannot multiply bfloat16."""
    if INTERPRETING:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def _program(X, Y, Z, DX, DY, DZ, TX: tl.constexpr, TY: tl.constexpr, TZ: tl.constexpr):
    """First token of the tile (group coordinates), dilation group and its lengths, the rest."""
    tiles_x, tiles_y = tl.cdiv(tl.cdiv(X, DX), TX), tl.cdiv(tl.cdiv(Y, DY), TY)
    tiles_z = tl.cdiv(tl.cdiv(Z, DZ), TZ)
    pid = tl.program_id(0)
    z0, pid = pid % tiles_z * TZ, pid // tiles_z
    y0, pid = pid % tiles_y * TY, pid // tiles_y
    x0, pid = pid % tiles_x * TX, pid // tiles_x
    gz, pid = pid % DZ, pid // DZ
    gy, pid = pid % DY, pid // DY
    gx, pid = pid % DX, pid // DX
    lx, ly, lz = tl.cdiv(X - gx, DX), tl.cdiv(Y - gy, DY), tl.cdiv(Z - gz, DZ)
    return x0, y0, z0, gx, gy, gz, lx, ly, lz, pid


@triton.jit
def _axis(table, total, first, lane, length, D, g, T: tl.constexpr):
    """Of one axis: tokens of the lanes with their intervals, the box, and its common part."""
    p = tl.minimum(first + lane, length - 1)
    token = p * D + g
    low, high = tl.load(table + token), tl.load(table + total + token)
    first_token, last_token = first * D + g, tl.minimum(first + T - 1, length - 1) * D + g
    box_low, box_high = tl.load(table + first_token), tl.load(table + total + last_token)
    all_low, all_high = tl.load(table + last_token), tl.load(table + total + first_token)
    return p, token, low, high, box_low, box_high, all_low, all_high


@triton.jit
def _lanes(TX: tl.constexpr, TY: tl.constexpr, TZ: tl.constexpr):
    i = tl.arange(0, TX * TY * TZ)
    return i // (TY * TZ), i // TZ % TY, i % TZ


@triton.jit
def _rows_of(batch, x, y, z, head, X, Y, Z, H):
    """Numbers of tokens' rows in a contiguous (B, X, Y, Z, H)."""
    return ((((batch * X + x) * Y + y) * Z + z) * H + head).to(tl.int64)


@triton.jit
def _offsets(x, y, z, stride_x, stride_y, stride_z):
    return x.to(tl.int64) * stride_x + y.to(tl.int64) * stride_y + z.to(tl.int64) * stride_z


@triton.jit
def _rows(base, offsets, there, stride_d, D: tl.constexpr, BLOCK: tl.constexpr):
    """(lanes, BLOCK) of the rows at ``base + offsets``, zero where there is nothing."""
    d = tl.arange(0, BLOCK)
    return tl.load(
        base + offsets[:, None] + d.to(tl.int64)[None, :] * stride_d,
        mask=there[:, None] & (d < D)[None, :],
        other=0.0,
    )


@triton.jit
def _attends(x, y, z, low_x, high_x, low_y, high_y, low_z, high_z, RANK: tl.constexpr):
    """(own lanes, other lanes): whether the other token lies in the interval of every axis."""
    ok = (z[None, :] >= low_z[:, None]) & (z[None, :] <= high_z[:, None])
    if RANK > 1:
        ok = ok & (y[None, :] >= low_y[:, None]) & (y[None, :] <= high_y[:, None])
    if RANK > 2:
        ok = ok & (x[None, :] >= low_x[:, None]) & (x[None, :] <= high_x[:, None])
    return ok


@triton.jit
def _step(t, bx, by, bz, cx, cy, cz, UX: tl.constexpr, UY: tl.constexpr, UZ: tl.constexpr):
    """Tile t of a box: its first token, its tokens (group coordinates), and which are there."""
    boxes_y, boxes_z = tl.cdiv(cy - by + 1, UY), tl.cdiv(cz - bz + 1, UZ)
    x1 = bx + t // (boxes_y * boxes_z) * UX
    y1 = by + t // boxes_z % boxes_y * UY
    z1 = bz + t % boxes_z * UZ
    nx, ny, nz = _lanes(UX, UY, UZ)
    x, y, z = x1 + nx, y1 + ny, z1 + nz
    return x1, y1, z1, x, y, z, (x <= cx) & (y <= cy) & (z <= cz)


@triton.jit
def _steps(bx, by, bz, cx, cy, cz, UX: tl.constexpr, UY: tl.constexpr, UZ: tl.constexpr):
    """How many tiles a box has."""
    return tl.cdiv(cx - bx + 1, UX) * tl.cdiv(cy - by + 1, UY) * tl.cdiv(cz - bz + 1, UZ)


@triton.jit
def _within_windows(
    s, rpb, head, px, py, pz, x1, y1, z1, x, y, z, ax, ex, ay, ey, az, ez,
    low_x, high_x, low_y, high_y, low_z, high_z, KX, KY, KZ, SIGN: tl.constexpr,
    BIAS: tl.constexpr, RANK: tl.constexpr,
    UX: tl.constexpr, UY: tl.constexpr, UZ: tl.constexpr,
):  # fmt: skip
    """Logits of own tokens (px, ..) with others (x, ..): the bias, and -inf outside the windows.

    SIGN: 1 where the others are keys, -1 where they are queries.
    """
    if BIAS:
        ok = _attends(x, y, z, low_x, high_x, low_y, high_y, low_z, high_z, RANK)
        s += _bias(
            rpb, head, SIGN * (x[None, :] - px[:, None]), SIGN * (y[None, :] - py[:, None]),
            SIGN * (z[None, :] - pz[:, None]), KX, KY, KZ, ok,
        )  # fmt: skip
    whole = (x1 >= ax) & (x1 + UX - 1 <= ex) & (y1 >= ay) & (y1 + UY - 1 <= ey)
    whole = whole & (z1 >= az) & (z1 + UZ - 1 <= ez)
    if whole == 0:
        ok = _attends(x, y, z, low_x, high_x, low_y, high_y, low_z, high_z, RANK)
        s = tl.where(ok, s, float("-inf"))
    return s


@triton.jit
def _bias(rpb, head, x, y, z, KX, KY, KZ, ok):
    """Relative position bias at key minus query, in units of log2."""
    at = (head * (2 * KX - 1) + x + KX - 1) * (2 * KY - 1) + y + KY - 1
    return tl.load(rpb + at * (2 * KZ - 1) + z + KZ - 1, mask=ok, other=0.0).to(tl.float32) * LOG2E


@triton.jit
def _online(s, v, m, l, acc):  # noqa: E741
    """A step of the online softmax in base 2."""
    top = tl.maximum(m, tl.max(s, 1))
    safe = tl.where(top == float("-inf"), 0.0, top)  # nothing attended so far
    p = tl.exp2(s - safe[:, None])
    shrink = tl.exp2(m - safe)
    l = l * shrink + tl.sum(p, 1)  # noqa: E741
    acc = acc * shrink[:, None] + _dot(p.to(v.dtype), v)
    return top, l, acc


@triton.jit
def forward(
    q, k, v, ek, ev, rpb, table, out, lse, factor, X, Y, Z, DX, DY, DZ, KX, KY, KZ, H, GROUP, E,
    q_b, q_x, q_y, q_z, q_h, q_d, k_b, k_x, k_y, k_z, k_h, k_d, v_b, v_x, v_y, v_z, v_h, v_d,
    ek_b, ek_e, ek_h, ek_d, ev_b, ev_e, ev_h, ev_d,
    EXTRA: tl.constexpr, BIAS: tl.constexpr, RANK: tl.constexpr,
    D: tl.constexpr, DV: tl.constexpr, BD: tl.constexpr, BDV: tl.constexpr,
    TX: tl.constexpr, TY: tl.constexpr, TZ: tl.constexpr,
    UX: tl.constexpr, UY: tl.constexpr, UZ: tl.constexpr,
):  # fmt: skip
    """A tile of queries; ``factor`` is the scale times log2 e."""
    x0, y0, z0, gx, gy, gz, lx, ly, lz, pid = _program(X, Y, Z, DX, DY, DZ, TX, TY, TZ)
    if (x0 >= lx) | (y0 >= ly) | (z0 >= lz):
        return
    head, batch = pid % H, (pid // H).to(tl.int64)
    kv_head = (head // GROUP).to(tl.int64)
    mx, my, mz = _lanes(TX, TY, TZ)
    total = X + Y + Z
    px, tx, low_x, high_x, bx, cx, ax, ex = _axis(table, total, x0, mx, lx, DX, gx, TX)
    py, ty, low_y, high_y, by, cy, ay, ey = _axis(table + X, total, y0, my, ly, DY, gy, TY)
    pz, tz, low_z, high_z, bz, cz, az, ez = _axis(table + X + Y, total, z0, mz, lz, DZ, gz, TZ)
    mine = (x0 + mx < lx) & (y0 + my < ly) & (z0 + mz < lz)
    query = _rows(
        q + batch * q_b + head.to(tl.int64) * q_h, _offsets(tx, ty, tz, q_x, q_y, q_z), mine, q_d,
        D, BD,
    )  # fmt: skip
    m = tl.full((TX * TY * TZ,), float("-inf"), tl.float32)
    l = tl.zeros((TX * TY * TZ,), tl.float32)  # noqa: E741
    acc = tl.zeros((TX * TY * TZ, BDV), tl.float32)
    k += batch * k_b + kv_head * k_h
    v += batch * v_b + kv_head * v_h
    for t in range(0, _steps(bx, by, bz, cx, cy, cz, UX, UY, UZ)):
        x1, y1, z1, x, y, z, there = _step(t, bx, by, bz, cx, cy, cz, UX, UY, UZ)
        x2, y2, z2 = x * DX + gx, y * DY + gy, z * DZ + gz
        keys = _rows(k, _offsets(x2, y2, z2, k_x, k_y, k_z), there, k_d, D, BD)
        values = _rows(v, _offsets(x2, y2, z2, v_x, v_y, v_z), there, v_d, DV, BDV)
        s = _dot(query, tl.trans(keys)) * factor
        s = _within_windows(
            s, rpb, head, px, py, pz, x1, y1, z1, x, y, z, ax, ex, ay, ey, az, ez, low_x, high_x,
            low_y, high_y, low_z, high_z, KX, KY, KZ, 1, BIAS, RANK, UX, UY, UZ,
        )  # fmt: skip
        m, l, acc = _online(s, values, m, l, acc)  # noqa: E741
    if EXTRA:
        ek += batch * ek_b + kv_head * ek_h
        ev += batch * ev_b + kv_head * ev_h
        for first in range(0, E, UX * UY * UZ):
            e = first + tl.arange(0, UX * UY * UZ)
            keys = _rows(ek, e.to(tl.int64) * ek_e, e < E, ek_d, D, BD)
            values = _rows(ev, e.to(tl.int64) * ev_e, e < E, ev_d, DV, BDV)
            s = _dot(query, tl.trans(keys)) * factor
            s = tl.where((e < E)[None, :], s, float("-inf"))
            m, l, acc = _online(s, values, m, l, acc)  # noqa: E741
    row = _rows_of(batch, tx, ty, tz, head, X, Y, Z, H)
    d = tl.arange(0, BDV)
    tl.store(
        out + row[:, None] * DV + d[None, :], (acc / l[:, None]).to(out.dtype.element_ty),
        mask=mine[:, None] & (d < DV)[None, :],
    )  # fmt: skip
    tl.store(lse + row, (m + tl.log2(l)) * LN2, mask=mine)
