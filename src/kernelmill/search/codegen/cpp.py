"""A plan to the C++ text of one kernel function."""

from __future__ import annotations

import math
from contextlib import contextmanager

from kernelmill.search.codegen.axes import Axis
from kernelmill.search.codegen.expr import identity, join, store
from kernelmill.search.codegen.ir import BYTES, C_COMPUTE, C_STORAGE, Prim
from kernelmill.search.codegen.plan import Group, Plan
from kernelmill.search.codegen.values import Scope, Values

SERIAL = 16384
CHUNKS = 64


class Emitter(Values):
    """Emits ``extern "C" int NAME(inputs..., outputs...)``; a non-zero result: index out of range.

    ``inputs`` and ``outputs`` give the order of the pointer arguments.
    """

    def __init__(self, plan: Plan, name: str, reused: dict[Prim, Prim] | None = None):
        self.reused = reused or {}
        self.plan = plan
        self.nest = plan.nest
        self.name = name
        self.lines: list[str] = []
        self.depth = 1
        self.env: dict[Axis, str] = {a: f"i{k}" for k, a in enumerate(plan.order)}
        self.base_env = self.env
        # the results are written through pointers of their own, or over a dead input
        self.inputs = [
            p for p in plan.memory if p not in self.nest.roots or p not in self.nest.inside
        ]
        self.outputs = list(self.nest.roots)
        self.pointer = {p: f"b{k}" for k, p in enumerate(self.inputs)}
        self.result = {p: f"o{k}" for k, p in enumerate(self.outputs)}
        for prim, buffer in self.reused.items():
            self.result[prim] = self.pointer[buffer]
        self.count = 0
        self.extra = plan.scratch
        self.written: set[Prim] = set()

    # -- text

    def put(self, *lines: str) -> None:
        self.lines.extend("  " * self.depth + line for line in lines)

    @contextmanager
    def block(self, head: str):
        self.put(head + " {")
        self.depth += 1
        yield
        self.depth -= 1
        self.put("}")

    @contextmanager
    def loops(self, axes: list[Axis]):
        for axis in axes:
            var = self.base_env[axis]
            first, last = self.span(axis)
            self.put(f"for (int64_t {var} = {first}; {var} < {last}; ++{var}) {{")
            self.depth += 1
        yield
        for _ in axes:
            self.depth -= 1
            self.put("}")

    def span(self, axis: Axis) -> tuple[str, str]:
        if axis is self.plan.split and self.in_chunk:
            return "lo", "hi"
        if self.plan.tiled and axis is self.plan.vector:
            return "v0", "v1"
        return "0", str(self.plan.size[axis])

    # -- the function

    def function(self) -> str:
        plan = self.plan
        body = self._body()
        written = set(self.reused.values())
        args = [
            f"{'' if p in written else 'const '}{C_STORAGE[p.dtype]}* __restrict {self.pointer[p]}"
            for p in self.inputs
        ] + [
            f"{C_STORAGE[p.dtype]}* __restrict {self.result[p]}"
            for p in self.outputs
            if p not in self.reused
        ]
        head = [f'extern "C" int {self.name}({", ".join(args)}) {{', "  int err = 0;"]
        if plan.schedule.huge_pages:
            head += [
                f"  km_advise({self.result[p]}, {p.numel * BYTES[p.dtype]}LL);"
                for p in self.outputs
                if p.numel * BYTES[p.dtype] >= 4 << 20 and p not in self.reused
            ]
        return "\n".join([*head, *body, "  return err;", "}"])

    def _body(self) -> list[str]:
        self.in_chunk = False
        if self.plan.split:
            return self._split_body()
        plan = self.plan
        steps = math.prod(plan.size[a] for a in plan.outer)
        tiles = -(-plan.size[plan.vector] // plan.tile) if plan.tiled else 1
        total = steps * tiles
        work = max(math.prod(plan.size[a] for a in g.domain) for g in plan.groups)
        self.depth = 2
        q = "p"
        if plan.tiled:
            size = plan.size[plan.vector]
            if tiles > 1:
                self.put(f"const int64_t v0 = ({q} % {tiles}) * {plan.tile};")
                self.put(
                    f"const int64_t v1 = v0 + {plan.tile} < {size} ? v0 + {plan.tile} : "
                    f"(int64_t){size};"
                )
                q = f"({q} / {tiles})"
            else:
                self.put("const int64_t v0 = 0;", f"const int64_t v1 = {size};")
        for k, axis in reversed(list(enumerate(plan.outer))):
            size = plan.size[axis]
            text = q if k == 0 else f"{q} % {size}"
            self.put(f"const int64_t {self.env[axis]} = {text};")
            q = f"({q} / {size})"
        self._declare("sl")
        for group in plan.groups:
            self.group(group)
        inner = self.lines
        scratch = []
        if self.extra:
            if self.extra <= 32768:
                scratch = [f"    alignas(64) char sl[{self.extra}];"]
            else:
                scratch = [f"    char* const sl = km_scratch({self.extra}LL);"]
        pragma = []
        if total > 1 and work > SERIAL:
            pragma = ["  #pragma omp parallel for schedule(static) reduction(|:err)"]
        head = f"  for (int64_t p = 0; p < {total}; ++p) {{"
        return [*pragma, head, *scratch, *inner, "  }"]

    def _declare(self, slab: str) -> None:
        for prim, local in self.plan.local.items():
            kind = self.local_kind(prim)
            if local.axes:
                self.put(f"{kind}* const {local.name} = ({kind}*)({slab} + {local.offset});")
            else:
                self.put(f"{kind} {local.name} = {identity('sum', prim.dtype)};")

    def _split_body(self) -> list[str]:
        plan = self.plan
        axis = plan.split
        size = plan.size[axis]
        unit = 64 if axis is plan.vector else 1
        chunk = math.ceil(math.ceil(size / CHUNKS) / unit) * unit
        chunks = -(-size // chunk)
        first = [g for g in plan.groups if g.phase == 0][0]
        self.in_chunk = True
        self.depth = 2
        self.put(f"const int64_t lo = c * {chunk};")
        self.put(f"const int64_t hi = lo + {chunk} < {size} ? lo + {chunk} : (int64_t){size};")
        self.group(first, finish=False)
        self.in_chunk = False
        parallel, self.lines, self.depth = self.lines, [], 1
        # locals are arrays in the chunk's slab, scalars too: the chunks are joined below
        slab = self.extra
        offsets = {}
        for stage in first.stages:
            local = plan.local[stage]
            offsets[stage] = slab
            slab += (max(local.extent, 1) * 8 + 63) // 64 * 64
        declare, store_back = [], []
        for stage in first.stages:
            local, kind = plan.local[stage], self.local_kind(stage)
            where = f"({kind}*)(sl + {offsets[stage]})"
            if local.axes:
                declare.append(f"    {kind}* const {local.name} = {where};")
            else:
                declare.append(f"    {kind} {local.name} = {identity('sum', stage.dtype)};")
                store_back.append(f"    *{where} = {local.name};")
        self._declare("sl")
        for stage in first.stages:
            self._join(stage, offsets[stage], slab, chunks)
        for stage in first.stages:
            self.finish(stage)
        for group in plan.groups:
            if group is not first:
                self.group(group)
        return [
            f"  char* const slabs = km_scratch({slab}LL * {chunks + 1} + {self.extra});",
            "  #pragma omp parallel for schedule(static) reduction(|:err)",
            f"  for (int64_t c = 0; c < {chunks}; ++c) {{",
            f"    char* const sl = slabs + c * {slab}LL;",
            *declare,
            *parallel,
            *store_back,
            "  }",
            f"  char* const sl = slabs + {chunks} * {slab}LL;",
            *self.lines,
        ]

    def _join(self, stage: Prim, offset: int, slab: int, chunks: int) -> None:
        local, kind, op = self.plan.local[stage], self.local_kind(stage), stage.attrs["op"]
        wide = "double" if kind == "float" and op in ("sum", "prod") else kind
        axes = self.plan.kept(self.nest.reduced(stage))
        divide = f" / {float(math.prod(self.plan.size[a] for a in axes))!r}" if op == "mean" else ""
        with self.block(f"for (int64_t k = 0; k < {max(local.extent, 1)}; ++k)"):
            self.put(f"{wide} t = {identity(op, stage.dtype)};")
            text = f"(({kind}*)(slabs + c * {slab}LL + {offset}))[k]"
            with self.block(f"for (int64_t c = 0; c < {chunks}; ++c)"):
                self.put(f"{wide} x = {text};", f"t = {join(op, 't', 'x', wide)};")
            self.put(f"{local.name}{'[k]' if local.axes else ''} = ({kind})(t{divide});")

    # -- groups

    def group(self, group: Group, finish: bool = True) -> None:
        from kernelmill.search.codegen import reduction, scan, window

        self.put("{")
        self.depth += 1
        start = len(self.lines)
        self.outside = Scope()
        self.varying = {a for a in group.domain if a not in self.plan.outer}
        if group.kind == "scan":
            scan.emit(self, group.stages[0])
        elif group.kind == "window":
            window.emit(self, group.stages[0])
        elif group.reduced:
            reduction.emit(self, group, finish)
        else:
            self.elementwise(group)
        indent = "  " * self.depth
        self.lines[start:start] = [indent + line for line in self.outside.lines]
        self.depth -= 1
        self.put("}")
        self.written.update(group.stages)

    def split_inner(self, domain) -> tuple[list[Axis], Axis | None]:
        """Axes to loop over within a step and the one for vectors."""
        plan = self.plan
        inner = [a for a in plan.order if a in domain and a not in plan.outer]
        if not inner:
            return [], None
        vec = plan.vector if plan.vector in inner else inner[-1]
        return [a for a in inner if a is not vec], vec

    def elementwise(self, group: Group) -> None:
        rest, vec = self.split_inner(group.domain)
        with self.loops(rest):
            self.vector_loop(vec, lambda scope: [self.write(s, scope) for s in group.stages])

    def vector_loop(self, vec: Axis | None, fill, first: str = "", last: str = "") -> None:
        """One loop over ``vec`` whose body ``fill(scope)`` makes."""
        scope = Scope()
        fill(scope)
        if vec is None:
            with self.block(""):
                self.put(*scope.lines)
            return
        begin, end = self.span(vec)
        var = self.base_env[vec]
        if not scope.scalar:
            self.put("#pragma omp simd")
        with self.block(f"for (int64_t {var} = {first or begin}; {var} < {last or end}; ++{var})"):
            self.put(*scope.lines)

    def write(self, stage: Prim, scope: Scope) -> None:
        """Compute an element-wise stage and put it where it belongs."""
        value = self.value(stage, scope, self.env, fresh=True)
        if stage in self.plan.spilled:
            scope.lines.append(f"{self.local_at(stage, self.env)} = {value};")
        if stage in self.result:
            target = self.memory_at(self.result[stage], stage, self.env)
            scope.lines.append(f"{target} = {store(value, stage.dtype)};")

    def finish(self, stage: Prim) -> None:
        """Copy a looped stage's local result to memory where it is a result."""
        if stage not in self.result:
            return
        local = self.plan.local[stage]
        target = self.memory_at(self.result[stage], stage, self.env)
        source = f"({C_COMPUTE[stage.dtype]}){self.local_at(stage, self.env)}"
        with self.loops([a for a in local.axes if a in self.base_env]):
            self.put(f"{target} = {store(source, stage.dtype)};")
