"""Elements as C++ expressions: loads, stored results, inlined element-wise work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelmill.search.codegen.expr import literal, load, pointwise
from kernelmill.search.codegen.ir import C_COMPUTE, Prim, Unsupported
from kernelmill.search.codegen.nest import is_computed

if TYPE_CHECKING:
    from kernelmill.search.codegen.axes import Axis
    from kernelmill.search.codegen.nest import Nest
    from kernelmill.search.codegen.plan import Plan


class Scope:
    """Statements of one loop body, each value computed once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.known: dict = {}
        self.scalar = False  # holds something that must not be vectorised


class Values:
    """The part of an emitter that turns prims into expressions. ``env`` maps every axis to the
    C++ text of its index."""

    plan: Plan
    nest: Nest
    env: dict[Axis, str]
    base_env: dict[Axis, str]
    pointer: dict[Prim, str]
    result: dict[Prim, str]
    written: set[Prim]
    outside: Scope
    varying: set[Axis]
    count: int

    def fresh(self, stem: str = "t") -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def memory_at(self, pointer: str, prim: Prim, env: dict[Axis, str]) -> str:
        steps = self.plan.memory[prim]
        terms = [
            env[a] if step == 1 else f"{env[a]} * {step}"
            for a, step in steps.items()
            if a not in self.plan.absorbed and step
        ]
        return f"{pointer}[{' + '.join(terms) or '0'}]"

    def local_kind(self, prim: Prim) -> str:
        """C++ type of a local result. A mean stays in float64 to the end: that of equal values
        must be the value itself."""
        return "double" if prim.attrs.get("op") == "mean" else C_COMPUTE[prim.dtype]

    def local_at(self, prim: Prim, env: dict[Axis, str]) -> str:
        local = self.plan.local[prim]
        if not local.axes:
            return local.name
        terms, step = [], 1
        for axis in reversed(local.axes):
            index = env[axis]
            if self.plan.tiled and axis is self.plan.vector:
                index = f"({index} - v0)"
            terms.append(index if step == 1 else f"{index} * {step}")
            step *= self.plan.extent(axis)
        return f"{local.name}[{' + '.join(reversed(terms))}]"

    def index(self, axes: list[Axis], env: dict[Axis, str]) -> str:
        """The position in a dimension made of ``axes``."""
        terms, step = [], 1
        for axis in reversed(axes):
            terms.append(env[axis] if step == 1 else f"{env[axis]} * {step}")
            step *= axis.size
        return "(" + (" + ".join(reversed(terms)) or "0") + ")"

    def at(self, axes: list[Axis], position: str, env: dict[Axis, str]) -> dict[Axis, str]:
        """``env`` with the dimension made of ``axes`` set to ``position``."""
        result = dict(env)
        step = 1
        for k, axis in reversed(list(enumerate(axes))):
            text = position if step == 1 else f"({position} / {step})"
            result[axis] = text if k == 0 else f"({text} % {axis.size})"
            step *= axis.size
        return result

    def value(self, prim: Prim, scope: Scope, env: dict[Axis, str], fresh: bool = False) -> str:
        """The C++ expression of one element; statements go to ``scope``."""
        if prim.kind != "const" and scope is not self.outside and self._invariant(prim, env):
            scope = self.outside
        key: object = prim
        if env is not self.env:
            key = (prim, tuple(sorted((a.uid, v) for a, v in env.items())))
        if key not in scope.known:
            text = self._value(prim, scope, env, fresh)
            simple = text.isidentifier() or prim.kind == "const"
            if not simple and prim.kind not in ("permute", "reshape", "expand", "slice"):
                name = self.fresh()
                scope.lines.append(f"const {C_COMPUTE[prim.dtype]} {name} = {text};")
                text = name
            scope.known[key] = text
        return scope.known[key]

    def _invariant(self, prim: Prim, env: dict[Axis, str]) -> bool:
        """Is the value the same for every turn of the group's loops?"""
        axes = self.plan.kept(self.nest.axes(prim))
        if axes & self.varying:
            return False
        return env is self.env or all(env[a] == self.base_env[a] for a in axes)

    def _here(self, prim: Prim, env: dict[Axis, str]) -> bool:
        """Is the element one of this parallel step's own?"""
        step = {*self.plan.outer, self.plan.vector} if self.plan.tiled else self.plan.outer
        axes = self.plan.kept(self.nest.axes(prim))
        return all(env[a] == self.base_env[a] for a in step if a in axes)

    def _value(self, prim: Prim, scope: Scope, env: dict[Axis, str], fresh: bool) -> str:
        nest, kind = self.nest, prim.kind
        if not fresh and prim in self.written:
            if prim in self.plan.local and self._here(prim, env):
                text = self.local_at(prim, env)
                kind = C_COMPUTE[prim.dtype]
                return text if self.local_kind(prim) == kind else f"({kind}){text}"
            if prim in self.result and prim.kind in ("scan", "window"):
                return load(self.memory_at(self.result[prim], prim, env), prim.dtype)
        if kind == "buffer" or (is_computed(prim) and prim not in nest.inside):
            return load(self.memory_at(self.pointer[prim], prim, env), prim.dtype)
        if kind == "const":
            return literal(prim.attrs["value"], prim.dtype)
        if kind == "iota":
            return self.index(nest.dims.of(prim)[prim.attrs["dim"]], env)
        if kind in ("permute", "reshape", "expand"):
            return self.value(prim.args[0], scope, env)
        if kind == "slice":
            dim = prim.attrs["dim"]
            out = self.index(nest.dims.of(prim)[dim], env)
            step, start = prim.attrs["step"], prim.attrs["start"]
            position = f"({start} + {out} * {step})" if step != 1 else f"({start} + {out})"
            source = prim.args[0]
            return self.value(source, scope, self.at(nest.dims.of(source)[dim], position, env))
        if kind == "gather":
            return self._gather(prim, scope, env)
        if kind == "pointwise":
            args = [self.value(a, scope, env) for a in prim.args]
            return pointwise(prim.attrs["op"], args, prim.dtype, prim.args[-1].dtype)
        raise Unsupported(f"{prim} is used before it is there")

    def _gather(self, prim: Prim, scope: Scope, env: dict[Axis, str]) -> str:
        source, index = prim.args
        dim = prim.attrs["dim"]
        size = source.shape[dim]
        raw = self.value(index, scope, env)
        name = self.fresh("g")
        scope.scalar = True
        scope.lines.append(f"const bool {name}ok = {raw} >= 0 && {raw} < {size};")
        scope.lines.append(f"err |= !{name}ok;")
        scope.lines.append(f"const int64_t {name} = {name}ok ? (int64_t){raw} : 0;")
        axes = self.nest.dims.of(source)[dim]
        return self.value(source, scope, self.at(axes, name, env) if axes else env)
