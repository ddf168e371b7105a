"""Loops of depthwise convolutions: a padded plane in scratch, then one pass of multiply-adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelmill.search.codegen.expr import store
from kernelmill.search.codegen.ir import C_COMPUTE, Prim, Unsupported
from kernelmill.search.codegen.values import Scope

if TYPE_CHECKING:
    from kernelmill.search.codegen.axes import Axis
    from kernelmill.search.codegen.cpp import Emitter

UNROLLED = 64  # taps written out; more become loops
WIDE = 96  # output rows from this width on are vectors of their own


def emit(em: Emitter, stage: Prim, inputs: list[list[Axis]], outputs: list[list[Axis]]) -> None:
    """One (sample, channel) plane. Rank 1 is a plane of one row."""
    attrs = stage.attrs
    rank = len(attrs["kernel"])
    if rank > 2:
        raise Unsupported("depthwise convolution over three dimensions")

    def pair(name: str, fill: int) -> tuple[int, int]:
        values = attrs[name]
        return (fill, values[0]) if rank == 1 else tuple(values)

    (kh, kw), (sh, sw) = pair("kernel", 1), pair("stride", 1)
    (ph, pw), (dh, dw) = pair("padding", 0), pair("dilation", 1)
    sizes = stage.args[0].shape[-rank:]
    height, width = (1, sizes[0]) if rank == 1 else sizes
    outs = stage.shape[-rank:]
    rows, columns = (1, outs[0]) if rank == 1 else outs
    pitch = max(width + 2 * pw, (columns - 1) * sw + (kw - 1) * dw + 1)
    lines = max(height + 2 * ph, (rows - 1) * sh + (kh - 1) * dh + 1)
    kind = C_COMPUTE[stage.dtype]
    size = 8 if kind == "double" else 4

    def scratch(name: str, count: int) -> None:
        offset = em.extra
        em.extra += (count * size + 127) // 64 * 64
        em.put(f"{kind}* const {name} = ({kind}*)(sl + {offset});")

    flat = columns < WIDE and sw == 1 and sh == 1
    # the flat pass reads past the last row by less than a row
    scratch("plane", (lines + 1) * pitch)
    scratch("taps", kh * kw)
    em.put(f"memset(plane, 0, sizeof({kind}) * {(lines + 1) * pitch});")
    _load_weights(em, stage, kh * kw)
    _load_plane(em, stage, inputs, height, width, f"(y + {ph}) * {pitch} + x + {pw}")
    start = "bias" if len(stage.args) > 2 else f"({kind})0"

    def total(at: str) -> list[str]:
        if kh * kw <= UNROLLED:
            text = [f"{kind} r = {start};"]
            return text + [
                f"r = std::fma(taps[{a * kw + b}], plane[{at} + {a * dh * pitch + b * dw}], r);"
                for a in range(kh)
                for b in range(kw)
            ]
        return [
            f"{kind} r = {start};",
            f"for (int a = 0; a < {kh}; ++a) for (int b = 0; b < {kw}; ++b) "
            f"r = std::fma(taps[a * {kw} + b], plane[{at} + a * {dh * pitch} + b * {dw}], r);",
        ]

    env = dict(em.env)
    if rank == 2 and outputs[0]:
        env[outputs[0][0]] = "y"
    if outputs[-1]:
        env[outputs[-1][0]] = "x"
    target = (
        em.memory_at(em.result[stage], stage, env)
        if stage in em.result
        else em.local_at(stage, env)
    )

    def put(value: str) -> str:
        return f"{target} = {store(value, stage.dtype) if stage in em.result else value};"

    simd = ["#pragma omp simd"] if kh * kw <= UNROLLED else []
    row, column = (
        f"for (int64_t y = 0; y < {rows}; ++y)",
        f"for (int64_t x = 0; x < {columns}; ++x)",
    )
    if not flat:
        with em.block(row):
            em.put(*simd)
            with em.block(column):
                em.put(*total(f"y * {sh * pitch} + x * {sw}"), put("r"))
        return
    scratch("sums", rows * pitch)
    em.put(*simd)
    with em.block(f"for (int64_t q = 0; q < {(rows - 1) * pitch + columns}; ++q)"):
        em.put(*total("q"), "sums[q] = r;")
    with em.block(row):
        em.put("#pragma omp simd")
        with em.block(column):
            em.put(put(f"sums[y * {pitch} + x]"))


def _load_weights(em: Emitter, stage: Prim, count: int) -> None:
    weight = stage.args[1]
    dims = em.nest.dims.of(weight)
    rank = len(stage.attrs["kernel"])
    scope = Scope()
    env = dict(em.env)
    position, step = "t", 1
    for d in range(rank - 1, -1, -1):
        n = stage.attrs["kernel"][d]
        if dims[2 + d]:
            env[dims[2 + d][0]] = f"({position} / {step} % {n})"
        step *= n
    value = em.value(weight, scope, env)
    with em.block(f"for (int t = 0; t < {count}; ++t)"):
        em.put(*scope.lines, f"taps[t] = {value};")
    if len(stage.args) > 2:
        scope = Scope()
        value = em.value(stage.args[2], scope, em.env)
        em.put(*scope.lines, f"const {C_COMPUTE[stage.dtype]} bias = {value};")


def _load_plane(em: Emitter, stage: Prim, inputs, height: int, width: int, at: str) -> None:
    env = dict(em.env)
    if len(inputs) == 2 and inputs[0]:
        env[inputs[0][0]] = "y"
    if inputs[-1]:
        env[inputs[-1][0]] = "x"
    scope = Scope()
    value = em.value(stage.args[0], scope, env)
    with em.block(f"for (int64_t y = 0; y < {height}; ++y)"):
        if not scope.scalar:
            em.put("#pragma omp simd")
        with em.block(f"for (int64_t x = 0; x < {width}; ++x)"):
            em.put(*scope.lines, f"plane[{at}] = {value};")
