"""Loops of window reductions: pooling, depthwise convolution.

Separable ones (maximum, sum) go row by row: all rows of a window are joined into one line over
the whole width, then the line is reduced within each window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelmill.search.codegen import depthwise
from kernelmill.search.codegen.expr import identity, join, store
from kernelmill.search.codegen.ir import C_COMPUTE, Prim, Unsupported
from kernelmill.search.codegen.values import Scope

if TYPE_CHECKING:
    from kernelmill.search.codegen.cpp import Emitter


def emit(em: Emitter, stage: Prim) -> None:
    plan, nest = em.plan, em.nest
    rank = len(stage.attrs["kernel"])
    lead = len(stage.shape) - rank
    source = stage.args[0]
    inputs = nest.dims.of(source)[lead:]
    outputs = nest.dims.of(stage)[lead:]
    if any(len(d) > 1 for d in (*inputs, *outputs)):
        raise Unsupported("window over a dimension that a reshape splits")
    spatial = {a for d in outputs for a in d}
    domain = plan.domain(stage)
    kept = [a for a in plan.order if a in domain and a not in plan.outer and a not in spatial]
    if plan.tiled:
        kept.remove(plan.vector)
    if stage.attrs["op"] == "conv":
        if plan.tiled:
            raise Unsupported("depthwise convolution with vectors over channels")
        with em.loops(kept):
            depthwise.emit(em, stage, inputs, outputs)
        return
    with em.loops(kept):
        _planes(em, stage, inputs, outputs, plan.vector if plan.tiled else None)


def _planes(em: Emitter, stage: Prim, inputs, outputs, tile) -> None:
    attrs = stage.attrs
    rank = len(attrs["kernel"])
    sizes_in = stage.args[0].shape[-rank:]
    sizes_out = stage.shape[-rank:]
    names = [em.base_env[d[0]] if d else f"z{k}" for k, d in enumerate(outputs)]
    for k in range(rank - 1):
        if outputs[k]:
            em.put(f"for (int64_t {names[k]} = 0; {names[k]} < {sizes_out[k]}; ++{names[k]}) {{")
        else:
            em.put(f"{{ const int64_t {names[k]} = 0;")
        em.depth += 1
        s, p, d, n = (attrs["stride"][k], attrs["padding"][k], attrs["dilation"][k], sizes_in[k])
        em.put(f"const int64_t c{k} = {names[k]} * {s} - {p};")
        # first and last tap that lie inside
        em.put(f"const int64_t f{k} = c{k} < 0 ? ({d - 1} - c{k}) / {d} : 0;")
        em.put(f"const int64_t g{k} = ({n - 1} - c{k}) / {d} + 1;")
        em.put(
            f"const int64_t h{k} = g{k} < {attrs['kernel'][k]} ? g{k} : "
            f"(int64_t){attrs['kernel'][k]};"
        )
    _line(em, stage, inputs, outputs, names, tile)
    for _ in range(rank - 1):
        em.depth -= 1
        em.put("}")


def _line(em: Emitter, stage: Prim, inputs, outputs, names, tile) -> None:
    attrs = stage.attrs
    op = attrs["op"]
    kind = C_COMPUTE[stage.dtype]
    rank = len(attrs["kernel"])
    width_in, width_out = stage.args[0].shape[-1], stage.shape[-1]
    k, s, p, d = (attrs[n][-1] for n in ("kernel", "stride", "padding", "dilation"))
    reach = (width_out - 1) * s + (k - 1) * d + 1
    left, length = p, max(p + width_in, reach)
    many = em.plan.tile if tile is not None else 1
    tv = em.base_env[tile] if tile is not None else None
    lane = f"({tv} - v0)" if tv else "0"
    offset = em.extra
    em.extra += (length * many * (8 if kind == "double" else 4) + 127) // 64 * 64
    em.put(f"{kind}* const line = ({kind}*)(sl + {offset});")
    start = identity("max" if op == "max" else "sum", stage.dtype)
    em.put(f"for (int64_t l = 0; l < {length * many}; ++l) line[l] = {start};")
    taps = []
    env = dict(em.env)
    for j in range(rank - 1):
        em.put(f"for (int64_t k{j} = f{j}; k{j} < h{j}; ++k{j}) {{")
        em.depth += 1
        if inputs[j]:
            em.put(f"const int64_t y{j} = c{j} + k{j} * {attrs['dilation'][j]};")
            env[inputs[j][0]] = f"y{j}"
        taps.append(j)
    if inputs[-1]:
        env[inputs[-1][0]] = "x"
    scope = Scope()
    value = em.value(stage.args[0], scope, env)
    simd = [] if scope.scalar else ["#pragma omp simd"]
    with em.block(f"for (int64_t x = 0; x < {width_in}; ++x)") if tile is not None else _Here():
        if tile is None:
            em.put(*simd)
        else:
            em.put(*simd)
        head = (
            f"for (int64_t x = 0; x < {width_in}; ++x)"
            if tile is None
            else (f"for (int64_t {tv} = v0; {tv} < v1; ++{tv})")
        )
        at = f"line[(x + {left}) * {many} + {lane}]" if tile is not None else f"line[x + {left}]"
        with em.block(head):
            em.put(*scope.lines, f"{at} = {join('sum' if op == 'avg' else op, at, value, kind)};")
    for _ in taps:
        em.depth -= 1
        em.put("}")
    _reduce_line(em, stage, names, tile, many, lane, kind)


class _Here:
    def __enter__(self):
        return None

    def __exit__(self, *error):
        return False


def _reduce_line(em: Emitter, stage: Prim, names, tile, many: int, lane: str, kind: str) -> None:
    attrs = stage.attrs
    op = attrs["op"]
    width_out = stage.shape[-1]
    k, s, p, d = (attrs[n][-1] for n in ("kernel", "stride", "padding", "dilation"))
    out = names[-1]
    target = (
        em.memory_at(em.result[stage], stage, em.env)
        if stage in em.result
        else em.local_at(stage, em.env)
    )
    at = [
        f"line[({out} * {s} + {j * d}) * {many} + {lane}]"
        if tile is not None
        else f"line[{out} * {s} + {j * d}]"
        for j in range(k)
    ]
    join_op = "sum" if op == "avg" else op
    lines = []
    if k <= 16:
        lines.append(f"{kind} r = {at[0]};")
        lines += [f"r = {join(join_op, 'r', a, kind)};" for a in at[1:]]
    else:
        step = at[1].replace(f"{d}", "j", 1) if False else None
        index = f"{out} * {s} + j * {d}"
        cell = f"line[({index}) * {many} + {lane}]" if tile is not None else f"line[{index}]"
        lines.append(f"{kind} r = {at[0]};")
        lines.append(f"for (int64_t j = 1; j < {k}; ++j) r = {join(join_op, 'r', cell, kind)};")
        del step
    if op == "avg":
        lines.append(f"r = r / ({kind}){_divisor(stage, out)};")
    value = store("r", stage.dtype) if stage in em.result else "r"
    lines.append(f"{target} = {value};")
    loop_x = f"for (int64_t {out} = 0; {out} < {width_out}; ++{out})"
    if tile is None:
        if k <= 16:
            em.put("#pragma omp simd")
        with em.block(loop_x):
            em.put(*lines)
        return
    tv = em.base_env[tile]
    with em.block(loop_x):
        if k <= 16:
            em.put("#pragma omp simd")
        with em.block(f"for (int64_t {tv} = v0; {tv} < v1; ++{tv})"):
            em.put(*lines)


def _divisor(stage: Prim, out: str) -> str:
    """How many elements an average is over, at the current window."""
    attrs = stage.attrs
    if attrs["divisor"]:
        return str(attrs["divisor"])
    rank = len(attrs["kernel"])
    sizes = stage.args[0].shape[-rank:]
    outs = stage.shape[-rank:]
    factors = []
    for j in range(rank):
        k, s, p, n = (attrs["kernel"][j], attrs["stride"][j], attrs["padding"][j], sizes[j])
        # with padding counted, a window still ends where the padded input ends
        low, high = (-p, n + p) if attrs["pad"] else (0, n)
        first, last = -p, (outs[j] - 1) * s - p
        if first >= low and last + k <= high:
            factors.append(str(k))
            continue
        c = f"c{j}" if j < rank - 1 else f"({out} * {s} - {p})"
        end = f"({c} + {k} < {high} ? {c} + {k} : (int64_t){high})"
        begin = f"({c} > {low} ? {c} : (int64_t){low})"
        factors.append(f"({end} - {begin})")
    return "(" + " * ".join(factors) + ")"
