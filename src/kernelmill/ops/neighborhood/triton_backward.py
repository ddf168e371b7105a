"""The Triton kernels of the backward pass of neighborhood attention; see `triton_kernels`.

Nothing is added into memory by several programs: a gradient is the same on every run.
"""

# ruff: noqa: E501, N803
import triton
import triton.language as tl

from kernelmill.ops.neighborhood.triton_kernels import (
    LOG2E,
    _axis,
    _dot,
    _lanes,
    _offsets,
    _program,
    _rows,
    _rows_of,
    _step,
    _steps,
    _within_windows,
)


@triton.jit
def delta(
    out, grad_out, grad_lse, found, rows, DV: tl.constexpr, BDV: tl.constexpr, ROWS: tl.constexpr
):
    """``sum(out * grad_out) - grad_lse`` of every query."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    o = _rows(out, row * DV, row < rows, 1, DV, BDV).to(tl.float32)
    g = _rows(grad_out, row * DV, row < rows, 1, DV, BDV).to(tl.float32)
    more = tl.load(grad_lse + row, mask=row < rows, other=0.0)
    tl.store(found + row, tl.sum(o * g, 1) - more, mask=row < rows)


@triton.jit
def query_gradient(
    q, k, v, ek, ev, rpb, table, grad_out, lse, delta, grad_q, scale, factor,
    X, Y, Z, DX, DY, DZ, KX, KY, KZ, H, GROUP, E,
    q_b, q_x, q_y, q_z, q_h, q_d, k_b, k_x, k_y, k_z, k_h, k_d, v_b, v_x, v_y, v_z, v_h, v_d,
    ek_b, ek_e, ek_h, ek_d, ev_b, ev_e, ev_h, ev_d, g_b, g_x, g_y, g_z, g_h, g_d,
    EXTRA: tl.constexpr, BIAS: tl.constexpr, RANK: tl.constexpr,
    D: tl.constexpr, DV: tl.constexpr, BD: tl.constexpr, BDV: tl.constexpr,
    TX: tl.constexpr, TY: tl.constexpr, TZ: tl.constexpr,
    UX: tl.constexpr, UY: tl.constexpr, UZ: tl.constexpr,
):  # fmt: skip
    """A tile of queries, as `forward`."""
    x0, y0, z0, gx, gy, gz, lx, ly, lz, pid = _program(X, Y, Z, DX, DY, DZ, TX, TY, TZ)
    if (x0 >= lx) | (y0 >= ly) | (z0 >= lz):
        return
    head, batch = (pid % H).to(tl.int64), (pid // H).to(tl.int64)
    kv_head = head // GROUP
    mx, my, mz = _lanes(TX, TY, TZ)
    total = X + Y + Z
    px, tx, low_x, high_x, bx, cx, ax, ex = _axis(table, total, x0, mx, lx, DX, gx, TX)
    py, ty, low_y, high_y, by, cy, ay, ey = _axis(table + X, total, y0, my, ly, DY, gy, TY)
    pz, tz, low_z, high_z, bz, cz, az, ez = _axis(table + X + Y, total, z0, mz, lz, DZ, gz, TZ)
    mine = (x0 + mx < lx) & (y0 + my < ly) & (z0 + mz < lz)
    row = _rows_of(batch, tx, ty, tz, head, X, Y, Z, H)
    query = _rows(
        q + batch * q_b + head * q_h, _offsets(tx, ty, tz, q_x, q_y, q_z), mine, q_d, D, BD
    )
    grad = _rows(grad_out, row * DV, mine, 1, DV, BDV)
    level = tl.load(lse + row, mask=mine, other=0.0) * LOG2E
    less = tl.load(delta + row, mask=mine, other=0.0)
    acc = tl.zeros((TX * TY * TZ, BD), tl.float32)
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
        p = tl.exp2(s - level[:, None])
        ds = p * (_dot(grad, tl.trans(values)) - less[:, None])
        acc += _dot(ds.to(keys.dtype), keys)
    if EXTRA:
        ek += batch * ek_b + kv_head * ek_h
        ev += batch * ev_b + kv_head * ev_h
        for first in range(0, E, UX * UY * UZ):
            e = first + tl.arange(0, UX * UY * UZ)
            keys = _rows(ek, e.to(tl.int64) * ek_e, e < E, ek_d, D, BD)
            values = _rows(ev, e.to(tl.int64) * ev_e, e < E, ev_d, DV, BDV)
            s = _dot(query, tl.trans(keys)) * factor
            p = tl.exp2(s - level[:, None])  # rows of zeros beyond E add nothing
            ds = p * (_dot(grad, tl.trans(values)) - less[:, None])
            ds = tl.where((e < E)[None, :], ds, 0.0)
            acc += _dot(ds.to(keys.dtype), keys)
    d = tl.arange(0, BD)
    to = grad_q + batch * g_b + head * g_h + _offsets(tx, ty, tz, g_x, g_y, g_z)
    tl.store(
        to[:, None] + d.to(tl.int64)[None, :] * g_d, (acc * scale).to(grad_q.dtype.element_ty),
        mask=mine[:, None] & (d < D)[None, :],
    )  # fmt: skip


@triton.jit
def key_value_gradient(
    q, k, v, rpb, table, grad_out, lse, delta, grad_k, grad_v, scale, factor,
    X, Y, Z, DX, DY, DZ, KX, KY, KZ, H, GROUP,
    q_b, q_x, q_y, q_z, q_h, q_d, k_b, k_x, k_y, k_z, k_h, k_d, v_b, v_x, v_y, v_z, v_h, v_d,
    gk_b, gk_x, gk_y, gk_z, gk_h, gk_d, gv_b, gv_x, gv_y, gv_z, gv_h, gv_d,
    BIAS: tl.constexpr, RANK: tl.constexpr,
    D: tl.constexpr, DV: tl.constexpr, BD: tl.constexpr, BDV: tl.constexpr,
    TX: tl.constexpr, TY: tl.constexpr, TZ: tl.constexpr,
    UX: tl.constexpr, UY: tl.constexpr, UZ: tl.constexpr,
):  # fmt: skip
    """A tile of keys and the box of queries that attend it; ``table`` is the inverse one."""
    x0, y0, z0, gx, gy, gz, lx, ly, lz, pid = _program(X, Y, Z, DX, DY, DZ, TX, TY, TZ)
    if (x0 >= lx) | (y0 >= ly) | (z0 >= lz):
        return
    kv_head, batch = (pid % (H // GROUP)).to(tl.int64), (pid // (H // GROUP)).to(tl.int64)
    mx, my, mz = _lanes(TX, TY, TZ)
    total = X + Y + Z
    rx, tx, low_x, high_x, bx, cx, ax, ex = _axis(table, total, x0, mx, lx, DX, gx, TX)
    ry, ty, low_y, high_y, by, cy, ay, ey = _axis(table + X, total, y0, my, ly, DY, gy, TY)
    rz, tz, low_z, high_z, bz, cz, az, ez = _axis(table + X + Y, total, z0, mz, lz, DZ, gz, TZ)
    mine = (x0 + mx < lx) & (y0 + my < ly) & (z0 + mz < lz)
    keys = _rows(
        k + batch * k_b + kv_head * k_h, _offsets(tx, ty, tz, k_x, k_y, k_z), mine, k_d, D, BD
    )
    values = _rows(
        v + batch * v_b + kv_head * v_h, _offsets(tx, ty, tz, v_x, v_y, v_z), mine, v_d, DV, BDV
    )
    acc_k = tl.zeros((TX * TY * TZ, BD), tl.float32)
    acc_v = tl.zeros((TX * TY * TZ, BDV), tl.float32)
    boxes = _steps(bx, by, bz, cx, cy, cz, UX, UY, UZ)
    for step in range(0, GROUP * boxes):
        head = kv_head * GROUP + step // boxes
        x1, y1, z1, x, y, z, there = _step(step % boxes, bx, by, bz, cx, cy, cz, UX, UY, UZ)
        x2, y2, z2 = x * DX + gx, y * DY + gy, z * DZ + gz
        row = _rows_of(batch, x2, y2, z2, head, X, Y, Z, H)
        query = _rows(
            q + batch * q_b + head * q_h, _offsets(x2, y2, z2, q_x, q_y, q_z), there, q_d, D, BD
        )
        grad = _rows(grad_out, row * DV, there, 1, DV, BDV)
        level = tl.load(lse + row, mask=there, other=0.0) * LOG2E
        less = tl.load(delta + row, mask=there, other=0.0)
        s = _dot(keys, tl.trans(query)) * factor
        s = _within_windows(
            s, rpb, head, rx, ry, rz, x1, y1, z1, x, y, z, ax, ex, ay, ey, az, ez, low_x, high_x,
            low_y, high_y, low_z, high_z, KX, KY, KZ, -1, BIAS, RANK, UX, UY, UZ,
        )  # fmt: skip
        p = tl.exp2(s - level[None, :])
        acc_v += _dot(p.to(grad.dtype), grad)
        ds = p * (_dot(values, tl.trans(grad)) - less[None, :])
        acc_k += _dot(ds.to(query.dtype), query)
    d = tl.arange(0, BD)
    to = grad_k + batch * gk_b + kv_head * gk_h + _offsets(tx, ty, tz, gk_x, gk_y, gk_z)
    tl.store(
        to[:, None] + d.to(tl.int64)[None, :] * gk_d, (acc_k * scale).to(grad_k.dtype.element_ty),
        mask=mine[:, None] & (d < D)[None, :],
    )  # fmt: skip
    d = tl.arange(0, BDV)
    to = grad_v + batch * gv_b + kv_head * gv_h + _offsets(tx, ty, tz, gv_x, gv_y, gv_z)
    tl.store(
        to[:, None] + d.to(tl.int64)[None, :] * gv_d, acc_v.to(grad_v.dtype.element_ty),
        mask=mine[:, None] & (d < DV)[None, :],
    )  # fmt: skip


@triton.jit
def extra_gradient(
    q, ek, ev, grad_out, lse, delta, grad_k, grad_v, scale, factor, Y, Z, TOKENS, H, GROUP, E, SHARE,
    q_b, q_x, q_y, q_z, q_h, q_d, ek_b, ek_e, ek_h, ek_d, ev_b, ev_e, ev_h, ev_d,
    D: tl.constexpr, DV: tl.constexpr, BD: tl.constexpr, BDV: tl.constexpr,
    KEYS: tl.constexpr, QUERIES: tl.constexpr,
):  # fmt: skip
    """A tile of extra keys and a share of the queries: partial sums (shares, B, E, Hkv, D)."""
    blocks, kv_heads = tl.cdiv(E, KEYS), H // GROUP
    pid = tl.program_id(0)
    e = pid % blocks * KEYS + tl.arange(0, KEYS)
    share = (pid // blocks).to(tl.int64)
    batch = tl.program_id(1).to(tl.int64) // kv_heads
    kv_head = tl.program_id(1).to(tl.int64) % kv_heads
    keys = _rows(ek + batch * ek_b + kv_head * ek_h, e.to(tl.int64) * ek_e, e < E, ek_d, D, BD)
    values = _rows(ev + batch * ev_b + kv_head * ev_h, e.to(tl.int64) * ev_e, e < E, ev_d, DV, BDV)
    acc_k = tl.zeros((KEYS, BD), tl.float32)
    acc_v = tl.zeros((KEYS, BDV), tl.float32)
    steps = tl.cdiv(SHARE, QUERIES)
    for step in range(0, GROUP * steps):
        head = kv_head * GROUP + step // steps
        own = step % steps * QUERIES + tl.arange(0, QUERIES)
        token = share * SHARE + own
        there = (own < SHARE) & (token < TOKENS)
        row = (batch * TOKENS + token) * H + head
        offsets = _offsets(token // (Y * Z), token // Z % Y, token % Z, q_x, q_y, q_z)
        query = _rows(q + batch * q_b + head * q_h, offsets, there, q_d, D, BD)
        grad = _rows(grad_out, row * DV, there, 1, DV, BDV)
        level = tl.load(lse + row, mask=there, other=0.0) * LOG2E
        less = tl.load(delta + row, mask=there, other=0.0)
        s = _dot(keys, tl.trans(query)) * factor
        p = tl.where(there[None, :], tl.exp2(s - level[None, :]), 0.0)
        acc_v += _dot(p.to(grad.dtype), grad)
        ds = p * (_dot(values, tl.trans(grad)) - less[None, :])
        acc_k += _dot(ds.to(query.dtype), query)
    batches = tl.num_programs(1) // kv_heads
    to = ((share * batches + batch) * E + e) * kv_heads + kv_head
    d = tl.arange(0, BD)
    tl.store(
        grad_k + to[:, None] * D + d[None, :],
        acc_k * scale,
        mask=(e < E)[:, None] & (d < D)[None, :],
    )
    d = tl.arange(0, BDV)
    tl.store(
        grad_v + to[:, None] * DV + d[None, :], acc_v, mask=(e < E)[:, None] & (d < DV)[None, :]
    )


@triton.jit
def bias_gradient(
    q, k, v, rpb, table, grad_out, lse, delta, found, factor, X, Y, Z, DX, DY, DZ, KX, KY, KZ,
    TOKENS, ROWS, H, GROUP, SHARE,
    q_b, q_x, q_y, q_z, q_h, q_d, k_b, k_x, k_y, k_z, k_h, k_d, v_b, v_x, v_y, v_z, v_h, v_d,
    D: tl.constexpr, DV: tl.constexpr, BD: tl.constexpr, BDV: tl.constexpr, QUERIES: tl.constexpr,
):  # fmt: skip
    """One entry of the bias and a share of the queries: partial sums (shares, entries)."""
    entry, share = tl.program_id(0), tl.program_id(1).to(tl.int64)
    step_z = entry % (2 * KZ - 1) - KZ + 1
    step_y = entry // (2 * KZ - 1) % (2 * KY - 1) - KY + 1
    step_x = entry // ((2 * KZ - 1) * (2 * KY - 1)) % (2 * KX - 1) - KX + 1
    head = (entry // ((2 * KZ - 1) * (2 * KY - 1) * (2 * KX - 1))).to(tl.int64)
    kv_head = head // GROUP
    bias = tl.load(rpb + entry).to(tl.float32) * LOG2E
    total = X + Y + Z
    acc = tl.zeros((QUERIES,), tl.float32)
    for first in range(0, SHARE, QUERIES):
        own = first + tl.arange(0, QUERIES)
        token = share * SHARE + own  # of all samples
        there = (own < SHARE) & (token < ROWS)
        batch, place = token // TOKENS, token % TOKENS
        x, y, z = place // (Y * Z), place // Z % Y, place % Z
        rx, ry, rz = x // DX + step_x, y // DY + step_y, z // DZ + step_z
        at_x, at_y, at_z = table + x, table + X + y, table + X + Y + z
        ok = there & (rx >= tl.load(at_x, mask=there, other=0))
        ok = ok & (rx <= tl.load(at_x + total, mask=there, other=0))
        ok = ok & (ry >= tl.load(at_y, mask=there, other=0))
        ok = ok & (ry <= tl.load(at_y + total, mask=there, other=0))
        ok = ok & (rz >= tl.load(at_z, mask=there, other=0))
        ok = ok & (rz <= tl.load(at_z + total, mask=there, other=0))
        x2, y2, z2 = x + step_x * DX, y + step_y * DY, z + step_z * DZ
        row = token * H + head
        query = _rows(
            q + head * q_h, batch * q_b + _offsets(x, y, z, q_x, q_y, q_z), ok, q_d, D, BD
        )
        key = _rows(
            k + kv_head * k_h, batch * k_b + _offsets(x2, y2, z2, k_x, k_y, k_z), ok, k_d, D, BD
        )
        value = _rows(
            v + kv_head * v_h, batch * v_b + _offsets(x2, y2, z2, v_x, v_y, v_z), ok, v_d, DV, BDV
        )
        grad = _rows(grad_out, row * DV, ok, 1, DV, BDV)
        level = tl.load(lse + row, mask=ok, other=0.0) * LOG2E
        less = tl.load(delta + row, mask=ok, other=0.0)
        s = tl.sum(query.to(tl.float32) * key.to(tl.float32), 1) * factor + bias
        dp = tl.sum(grad.to(tl.float32) * value.to(tl.float32), 1)
        acc += tl.where(ok, tl.exp2(s - level) * (dp - less), 0.0)
    tl.store(found + share * tl.num_programs(0) + entry, tl.sum(acc, 0))
