"""Loops of running sums and products."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelmill.search.codegen.expr import store
from kernelmill.search.codegen.ir import C_COMPUTE, Prim, Unsupported
from kernelmill.search.codegen.values import Scope

if TYPE_CHECKING:
    from kernelmill.search.codegen.cpp import Emitter

BLOCK = 512


def emit(em: Emitter, stage: Prim) -> None:
    plan = em.plan
    along = [a for a in em.nest.dims.of(stage)[stage.attrs["dim"]] if a not in plan.absorbed]
    rest, vec = em.split_inner(plan.domain(stage))
    kept = [a for a in rest if a not in along]
    if vec in along and (vec is not along[-1] or stage.attrs["op"] == "logsumexp"):
        raise Unsupported("scan along a factor of its dimension that is not the inner one")
    with em.loops(kept):
        em.put("{")
        em.depth += 1
        if vec in along:
            _row(em, stage, along[:-1], vec)
        else:
            _across(em, stage, along, vec)
        em.depth -= 1
        em.put("}")


def _carry(stage: Prim) -> str:
    kind = C_COMPUTE[stage.dtype]
    return "double" if kind == "float" else kind


def _target(em: Emitter, stage: Prim) -> tuple[str, bool]:
    if stage in em.result:
        return em.memory_at(em.result[stage], stage, em.env), True
    return em.local_at(stage, em.env), False


def _row(em: Emitter, stage: Prim, walked, vec) -> None:
    kind, op = C_COMPUTE[stage.dtype], stage.attrs["op"]
    first, last = em.span(vec)
    var = em.base_env[vec]
    scope = Scope()
    x = em.value(stage.args[0], scope, em.env)
    target, memory = _target(em, stage)
    simd = [] if scope.scalar else ["#pragma omp simd"]
    em.put(f"{_carry(stage)} carry = {'1' if op == 'prod' else '0'};")
    em.put(f"alignas(64) {kind} run[{BLOCK}];")
    with em.loops(walked), em.block(f"for (int64_t w = {first}; w < {last}; w += {BLOCK})"):
        em.put(f"const int64_t n = w + {BLOCK} < {last} ? {BLOCK} : {last} - w;", *simd)
        with em.block("for (int64_t l = 0; l < n; ++l)"):
            em.put(f"const int64_t {var} = w + l;", *scope.lines, f"run[l] = {x};")
        em.put(f"km_prefix_{op}(run, n, carry);", "#pragma omp simd")
        with em.block("for (int64_t l = 0; l < n; ++l)"):
            value = store("run[l]", stage.dtype) if memory else "run[l]"
            em.put(f"const int64_t {var} = w + l;", f"{target} = {value};")


def _across(em: Emitter, stage: Prim, along, vec) -> None:
    kind, op = C_COMPUTE[stage.dtype], stage.attrs["op"]
    carry = _carry(stage)
    extent = em.plan.extent(vec) if vec is not None else 1
    offset = em.extra
    em.extra += (extent * 8 + 63) // 64 * 64
    em.put(f"{carry}* const carry = ({carry}*)(sl + {offset});")
    em.put(f"for (int64_t l = 0; l < {extent}; ++l) carry[l] = {'1' if op == 'prod' else '0'};")
    if op == "logsumexp":
        offset = em.extra
        em.extra += (extent * 4 + 63) // 64 * 64
        em.put(f"float* const top = (float*)(sl + {offset});")
        em.put(f"for (int64_t l = 0; l < {extent}; ++l) top[l] = -3.402823466e38f;")
    at = "0"
    if vec is not None:
        start = em.span(vec)[0]
        at = em.base_env[vec] if start == "0" else f"{em.base_env[vec]} - {start}"
    target, memory = _target(em, stage)

    def fill(scope: Scope) -> None:
        x = em.value(stage.args[0], scope, em.env)
        value = f"({kind})sum"
        if op == "logsumexp":
            # the sum is relative to the largest finite term so far; once infinite it stays so
            scope.lines += [
                f"const float old = top[{at}];",
                f"const bool up = ({x} > old) & ({x} < KM_INF) & (carry[{at}] < KM_INF);",
                f"const float now = up ? {x} : old;",
                f"const double sum = carry[{at}] * (double)km_exp(old - now)"
                f" + (double)km_exp({x} - now);",
                f"top[{at}] = now;",
            ]
            value = "now + km_log((float)sum)"
        else:
            sign = "*" if op == "prod" else "+"
            scope.lines.append(f"const {carry} sum = carry[{at}] {sign} ({carry}){x};")
        scope.lines.append(f"carry[{at}] = sum;")
        scope.lines.append(f"{target} = {store(value, stage.dtype) if memory else value};")

    with em.loops(along):
        em.vector_loop(vec, fill)
