"""Loops of reductions: along the vector axis in lanes, or across it with a vector of results."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kernelmill.search.codegen.axes import Axis
from kernelmill.search.codegen.expr import identity, join
from kernelmill.search.codegen.ir import C_COMPUTE, Prim
from kernelmill.search.codegen.values import Scope

if TYPE_CHECKING:
    from kernelmill.search.codegen.cpp import Emitter
    from kernelmill.search.codegen.plan import Group

BLOCK = 4096  # elements between two looks at the flush counter
LONG = 1024  # terms from which a float32 sum across the vector axis is held in float64


def emit(em: Emitter, group: Group, finish: bool) -> None:
    rest, vec = em.split_inner(group.domain)
    reduces = [s for s in group.stages if s.kind == "reduce"]
    kept = [a for a in rest if a not in group.reduced]
    walked = [a for a in rest if a in group.reduced]
    with em.loops(kept):
        em.put("{")
        em.depth += 1
        if vec in group.reduced:
            _along(em, group, reduces, walked, vec)
        else:
            _across(em, group, reduces, walked, vec)
        em.depth -= 1
        em.put("}")
    em.written.update(group.stages)
    if finish:
        for stage in reduces:
            em.finish(stage)


def _better(op: str, x: str, m: str) -> str:
    sign = ">" if op == "argmax" else "<"
    return f"({x} {sign} {m}) | (({x} != {x}) & ({m} == {m}))"


def _position(em: Emitter, stage: Prim) -> str:
    return em.index(em.nest.dims.of(stage.args[0])[stage.attrs["dims"][0]], em.env)


def _update(em: Emitter, stage: Prim, scope: Scope, acc: str, index: str, kind: str) -> None:
    op = stage.attrs["op"]
    x = em.value(stage.args[0], scope, em.env)
    if op.startswith("arg"):
        better = em.fresh("t")
        scope.lines.append(f"const bool {better} = {_better(op, x, acc)};")
        scope.lines.append(f"{index} = {better} ? (int32_t){_position(em, stage)} : {index};")
        scope.lines.append(f"{acc} = {better} ? {x} : {acc};")
    else:
        scope.lines.append(f"{acc} = {join(op, acc, f'({kind}){x}', kind)};")


def _kind(em: Emitter, stage: Prim) -> str:
    """C++ type that partial results are held in."""
    kind = C_COMPUTE[stage.args[0].dtype]
    op = stage.attrs["op"]
    if kind == "float" and (
        op == "mean" or (op == "sum" and em.plan.schedule.accumulate == "double")
    ):
        return "double"
    return kind


def _along(em: Emitter, group: Group, reduces: list[Prim], walked: list[Axis], vec: Axis) -> None:
    """The vector axis is reduced: ``lanes`` partial results, folded at the end."""
    size = em.plan.size[vec]
    lanes = em.plan.schedule.lanes
    while lanes > 16 and lanes > size:
        lanes //= 2
    total = size * math.prod(em.plan.size[a] for a in walked)
    flush = [
        s
        for s in reduces
        if s.attrs["op"] == "sum" and _kind(em, s) == "float" and total > lanes * 128
    ]
    for s in reduces:
        kind, start = _kind(em, s), identity(s.attrs["op"], s.args[0].dtype)
        em.put(f"alignas(64) {kind} a{s.id}[{lanes}];")
        em.put(f"for (int l = 0; l < {lanes}; ++l) a{s.id}[l] = {start};")
        if s.attrs["op"].startswith("arg"):
            em.put(f"alignas(64) int32_t p{s.id}[{lanes}];")
            em.put(f"for (int l = 0; l < {lanes}; ++l) p{s.id}[l] = 0x7fffffff;")
    for s in flush:
        em.put(f"double d{s.id} = 0;")
    if flush:
        em.put("int64_t filled = 0;")
    first, last = em.span(vec)
    with em.loops(walked):
        if flush and size > BLOCK:
            with em.block(f"for (int64_t w = {first}; w < {last}; w += {BLOCK})"):
                em.put(f"const int64_t e = w + {BLOCK} < {last} ? w + {BLOCK} : (int64_t){last};")
                _strip(em, group, vec, "w", "e", lanes)
                _flush(em, flush, lanes, "e - w")
        else:
            em.put("{")
            em.depth += 1
            _strip(em, group, vec, first, last, lanes)
            if flush:
                _flush(em, flush, lanes, f"{last} - {first}")
            em.depth -= 1
            em.put("}")
    for s in reduces:
        kind, op = em.local_kind(s), s.attrs["op"]
        target = em.local_at(s, em.env)
        if op == "mean":
            divide = "" if em.in_chunk else f" / {float(total)!r}"
            em.put(f"{target} = km_fold_sum<{lanes}>(a{s.id}){divide};")
        elif op.startswith("arg"):
            em.put(f"{target} = km_{op}<{lanes}>(a{s.id}, p{s.id});")
        elif s in flush:
            em.put(f"{target} = ({kind})(d{s.id} + (double)km_fold_sum<{lanes}>(a{s.id}));")
        else:
            em.put(f"{target} = ({kind})km_fold_{op}<{lanes}>(a{s.id});")


def _strip(em: Emitter, group: Group, vec: Axis, first: str, last: str, lanes: int) -> None:
    """Whole strips of ``lanes`` elements, then the rest."""
    scope = Scope()
    for stage in group.stages:
        if stage.kind == "reduce":
            _update(em, stage, scope, f"a{stage.id}[l]", f"p{stage.id}[l]", _kind(em, stage))
        else:
            em.write(stage, scope)
    var = em.base_env[vec]
    simd = [] if scope.scalar else ["#pragma omp simd"]
    head = f"const int64_t {var} = j + l;"
    em.put(f"int64_t j = {first};")
    with em.block(f"for (; j + {lanes} <= {last}; j += {lanes})"):
        em.put(*simd)
        with em.block(f"for (int l = 0; l < {lanes}; ++l)"):
            em.put(head, *scope.lines)
    exact = em.plan.size[vec] % lanes == 0 and first != "lo"
    if not exact:
        em.put(f"const int left = (int)({last} - j);", *simd)
        with em.block("for (int l = 0; l < left; ++l)"):
            em.put(head, *scope.lines)


def _flush(em: Emitter, flush: list[Prim], lanes: int, added: str) -> None:
    em.put(f"filled += {added};")
    with em.block(f"if (filled >= {lanes * 64})"):
        for s in flush:
            em.put(f"d{s.id} += (double)km_fold_sum<{lanes}>(a{s.id});")
            em.put(f"for (int l = 0; l < {lanes}; ++l) a{s.id}[l] = 0;")
        em.put("filled = 0;")


def _across(
    em: Emitter, group: Group, reduces: list[Prim], walked: list[Axis], vec: Axis | None
) -> None:
    """The vector axis is kept (or there is none): one result per element of it."""

    terms = math.prod(em.plan.size[a] for a in walked)
    extent = em.plan.extent(vec) if vec is not None else 1
    temporary: dict[Prim, str] = {}
    kinds: dict[Prim, str] = {}
    for s in reduces:
        kind = C_COMPUTE[s.args[0].dtype]
        op = s.attrs["op"]
        if kind == "float" and (op == "mean" or (op in ("sum", "prod") and terms > LONG)):
            kind = "double"
        kinds[s] = kind
        width = 8 if kind in ("double", "int64_t") else 4
        offset = em.extra
        em.extra += (extent * width + 63) // 64 * 64
        temporary[s] = f"a{s.id}"
        em.put(f"{kind}* const a{s.id} = ({kind}*)(sl + {offset});")
        em.put(
            f"for (int64_t l = 0; l < {extent}; ++l) a{s.id}[l] = {identity(op, s.args[0].dtype)};"
        )
        if op.startswith("arg"):
            offset = em.extra
            em.extra += (extent * 4 + 63) // 64 * 64
            em.put(f"int32_t* const p{s.id} = (int32_t*)(sl + {offset});")
            em.put(f"for (int64_t l = 0; l < {extent}; ++l) p{s.id}[l] = 0x7fffffff;")
    if vec is None:
        at = "0"
    else:
        at = em.base_env[vec]
        if em.span(vec)[0] != "0":
            at = f"{at} - {em.span(vec)[0]}"

    def fill(scope: Scope) -> None:
        for stage in group.stages:
            if stage.kind == "reduce":
                acc, index = f"a{stage.id}[{at}]", f"p{stage.id}[{at}]"
                _update(em, stage, scope, acc, index, kinds[stage])
            else:
                em.write(stage, scope)

    with em.loops(walked):
        em.vector_loop(vec, fill)

    def done(scope: Scope) -> None:
        for s in reduces:
            kind = em.local_kind(s)
            value = f"({kind})a{s.id}[{at}]"
            if s.attrs["op"] == "mean" and not em.in_chunk:
                value = f"({value} / {float(terms)!r})"
            if s.attrs["op"].startswith("arg"):
                value = f"(p{s.id}[{at}] == 0x7fffffff ? 0 : (int64_t)p{s.id}[{at}])"
            scope.lines.append(f"{em.local_at(s, em.env)} = {value};")

    em.vector_loop(vec, done)
