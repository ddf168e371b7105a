"""A kernel's loops under a schedule: merged axes, vector axis, order, groups, local storage."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from kernelmill.search.codegen.axes import Axis, leaves, strides
from kernelmill.search.codegen.expr import EXPENSIVE
from kernelmill.search.codegen.fuse import Kernel
from kernelmill.search.codegen.ir import BYTES, C_COMPUTE, Prim
from kernelmill.search.codegen.nest import LOOPED, SMALL, Nest, is_computed
from kernelmill.search.codegen.schedule import Schedule

NARROW = 8
WORTH_SPLITTING = 65536


@dataclass
class Group:
    """Stages that share one loop nest."""

    phase: int
    domain: frozenset[Axis]
    kind: str  # loop | scan | window
    stages: list[Prim] = field(default_factory=list)
    reduced: frozenset[Axis] = frozenset()


@dataclass
class Local:
    """Where a stage's result lives within one parallel step: an array over ``axes`` (a scalar
    where there are none) of ``extent`` elements at ``offset`` bytes of the scratch block."""

    axes: tuple[Axis, ...]
    extent: int
    offset: int
    name: str


class Plan:
    """``layout``: strides of tensors in memory where they are not the usual ones."""

    def __init__(
        self,
        kernel: Kernel,
        schedule: Schedule,
        layout: dict[Prim, tuple[int, ...]] | None = None,
    ):
        self.layout = layout or {}
        self.kernel = kernel
        self.schedule = schedule
        self.nest: Nest = kernel.nest()
        nest = self.nest
        self.memory = self._memory()
        self.size: dict[Axis, int] = {}
        self.absorbed: set[Axis] = set()
        for prim in nest.dims.raw:
            for axis in nest.dims.flat(prim):
                self.size[axis] = axis.size
        self._merge()
        self.parallel = self.kept(nest.parallel)
        self.vector = self._vector()
        self.order = self._order()
        self.outer = [a for a in self.order if a in self.parallel and a is not self.vector]
        self.tiled = self.vector in self.parallel
        self.groups = self._groups()
        self.split = self._split()
        if self.split:
            self.outer, self.tiled, self.parallel = [], False, frozenset()
        self.tile = self._tile()
        self.spilled: set[Prim] = set()
        self._spill()
        self.local: dict[Prim, Local] = {}
        self.scratch = 0
        for group in self.groups:
            for stage in group.stages:
                if (
                    stage.kind == "reduce"
                    or stage in self.spilled
                    or (stage.kind in LOOPED and stage not in nest.roots)
                ):
                    self.local[stage] = self.allocate(stage)

    # -- memory and axes

    def _memory(self) -> dict[Prim, dict[Axis, int]]:
        """Steps of every tensor in memory: what is read, and the results."""
        nest = self.nest
        result = {}
        for prim in nest.dims.raw:
            if prim.kind == "buffer":
                steps = self.layout.get(prim, prim.attrs["stride"])
                result[prim] = strides(nest.dims.of(prim), steps)
            elif is_computed(prim) and (prim not in nest.inside or prim in nest.roots):
                steps = [math.prod(prim.shape[d + 1 :]) for d in range(len(prim.shape))]
                result[prim] = strides(nest.dims.of(prim), self.layout.get(prim, steps))
        return result

    def kept(self, axes) -> frozenset[Axis]:
        return frozenset(a for a in axes if a not in self.absorbed)

    def _merge(self) -> None:
        nest = self.nest
        fixed = {a for axes in nest.dims.indexed for a in leaves(axes)}
        for prim in nest.dims.raw:
            if prim.kind == "iota" or (prim.kind == "slice"):
                fixed.update(nest.dims.flat(prim))
        for stage in nest.stages:
            if stage.kind in ("scan", "window"):
                fixed.update(nest.reduced(stage))
            if stage.kind == "reduce" and stage.attrs["op"].startswith("arg"):
                fixed.update(nest.reduced(stage))
        sets = [nest.domain(s) for s in nest.stages] + [nest.reduced(s) for s in nest.stages]
        merged = True
        while merged:
            merged = False
            axes = [a for a in self.size if a not in self.absorbed and a not in fixed]
            for a in axes:
                for b in axes:
                    if a is not b and self._mergeable(a, b, sets):
                        self.size[b] *= self.size[a]
                        self.absorbed.add(a)
                        merged = True
                        break
                if merged:
                    break

    def _mergeable(self, a: Axis, b: Axis, sets) -> bool:
        together = False
        for steps in self.memory.values():
            if (a in steps) != (b in steps):
                return False
            if a in steps:
                if steps[a] != steps[b] * self.size[b]:
                    return False
                together = True
        return together and all((a in s) == (b in s) for s in sets)

    def _vector(self) -> Axis | None:
        for stage in self.nest.stages:
            if stage.kind == "window" and stage.attrs["op"] == "conv":
                last = self.nest.dims.of(stage)[-1]
                if last:
                    return last[0]
        loops = {a for s in self.nest.stages for a in self.nest.domain(s)}
        weight: dict[Axis, float] = {}
        for prim, steps in self.memory.items():
            for axis, step in steps.items():
                if axis in loops and axis not in self.absorbed and step == 1:
                    gain = prim.numel * (1.5 if prim in self.nest.roots else 1.0)
                    weight[axis] = weight.get(axis, 0.0) + gain
        best = max(weight, key=lambda a: (weight[a], self.size[a]), default=None)
        if best is None or self.size[best] < NARROW:
            wide = [a for a in self.parallel if self.size[a] >= 64]
            if wide:
                largest = max(self.memory, key=lambda p: p.numel)
                steps = self.memory[largest]
                return min(wide, key=lambda a: steps.get(a, 1 << 62))
        return best

    def _order(self) -> list[Axis]:
        ranked = sorted(self.memory, key=lambda p: -p.numel)

        def rank(axis: Axis) -> tuple[int, int]:
            for prim in ranked:
                if axis in self.memory[prim]:
                    return (-self.memory[prim][axis], axis.uid)
            return (0, axis.uid)

        axes = [a for a in self.size if a not in self.absorbed and a is not self.vector]
        order = sorted(axes, key=rank)
        return [*order, self.vector] if self.vector is not None else order

    # -- loops

    def domain(self, stage: Prim) -> frozenset[Axis]:
        return self.kept(self.nest.domain(stage))

    def _groups(self) -> list[Group]:
        nest = self.nest
        groups: list[Group] = []
        for stage in nest.stages:
            phase = nest.phase[stage]
            domain = self.domain(stage)
            reduced = self.kept(nest.reduced(stage))
            kind = stage.kind if stage.kind in ("scan", "window") else "loop"
            for group in groups:
                if (
                    kind == "loop"
                    and group.kind == "loop"
                    and (group.phase, group.domain)
                    == (
                        phase,
                        domain,
                    )
                ):
                    if stage.kind == "reduce" and group.reduced and group.reduced != reduced:
                        continue
                    group.stages.append(stage)
                    group.reduced = group.reduced or reduced
                    break
            else:
                groups.append(Group(phase, domain, kind, [stage], reduced))
        return sorted(groups, key=lambda g: g.phase)

    def _split(self) -> Axis | None:
        """The reduced axis to share among threads where too little else is parallel."""
        if not self.groups or self.nest.largest < WORTH_SPLITTING:
            return None
        steps = math.prod(self.size[a] for a in self.outer)
        if self.tiled:
            steps *= max(1, self.size[self.vector] // 64)
        first = [g for g in self.groups if g.phase == 0]
        if steps >= 8 or len(first) != 1 or not first[0].reduced or first[0].kind != "loop":
            return None
        if any(s.kind != "reduce" or s.attrs["op"].startswith("arg") for s in first[0].stages):
            return None
        rest = [g for g in self.groups if g.phase > 0]
        if any(math.prod(self.size[a] for a in g.domain) > SMALL for g in rest):
            return None
        kept = math.prod(self.size[a] for a in first[0].domain - first[0].reduced)
        if kept > SMALL:
            return None
        return next(a for a in self.order if a in first[0].reduced)

    def _tile(self) -> int:
        if not self.tiled:
            return 0
        size = self.size[self.vector]
        inner = 1
        for group in self.groups:
            rest = [a for a in group.domain if a not in self.parallel]
            inner = max(inner, math.prod(self.size[a] for a in rest))
        many = len([p for p in self.memory if self.vector in self.memory[p]])
        fits = self.schedule.tile_bytes // (4 * inner * max(many, 1))
        tile = max(16, min(self.schedule.tile, fits // 16 * 16))
        if inner == 1:
            tile = max(tile, 1024)
        # leave enough steps for the threads
        steps = math.prod(self.size[a] for a in self.outer)
        while tile > 64 and steps * -(-size // tile) < 8:
            tile //= 2
        return min(tile, size)

    # -- storage

    def inner(self, prim: Prim) -> list[Axis]:
        """Axes of a value within one parallel step, in loop order."""
        axes = self.kept(self.nest.axes(prim))
        step = set(self.outer)
        return [a for a in self.order if a in axes and a not in step]

    def extent(self, axis: Axis) -> int:
        return self.tile if self.tiled and axis is self.vector else self.size[axis]

    def allocate(self, prim: Prim) -> Local:
        axes = tuple(self.inner(prim))
        extent = math.prod(self.extent(a) for a in axes)
        local = Local(axes, extent, self.scratch, f"s{prim.id}")
        if axes:
            width = 8 if prim.attrs.get("op") == "mean" else _bytes(prim.dtype)
            self.scratch += (extent * width + 63) // 64 * 64
        return local

    def stored(self, prim: Prim) -> bool:
        return (
            prim in self.local
            or prim in self.spilled
            or (prim in self.nest.roots and prim.kind in ("scan", "window"))
        )

    def _spill(self) -> None:
        """Costly values that two groups need are kept from the first to the second."""
        if not self.schedule.spill_bytes or self.split:
            return
        for prim in sorted(self.nest.prims, key=lambda p: -p.id):
            if prim.kind != "pointwise" or not self._costly(prim, set()):
                continue
            users = [g for g in self.groups if any(self._uses(s, prim, True) for s in g.stages)]
            if len(users) < 2:
                continue
            if self.kept(self.nest.axes(prim)) != users[0].domain or users[0].kind != "loop":
                continue
            extent = math.prod(self.extent(a) for a in self.inner(prim))
            if extent < 8 or extent * _bytes(prim.dtype) > self.schedule.spill_bytes:
                continue
            self.spilled.add(prim)
            if prim not in users[0].stages:
                users[0].stages.insert(0, prim)

    def _uses(self, prim: Prim, wanted: Prim, top: bool = False) -> bool:
        if prim is wanted:
            return True
        if not top and (prim.kind in LOOPED or prim in self.spilled):
            return False
        if is_computed(prim) and prim not in self.nest.inside:
            return False
        return any(self._uses(a, wanted) for a in prim.args)

    def _costly(self, prim: Prim, seen: set[Prim]) -> bool:
        if prim in seen or prim in self.spilled or prim.kind in LOOPED:
            return False
        seen.add(prim)
        if is_computed(prim) and prim not in self.nest.inside:
            return False
        axes = self.nest.axes(prim)
        if prim.kind == "pointwise" and prim.attrs["op"] in EXPENSIVE:
            return True
        # work on fewer axes leaves the inner loop
        return any(self._costly(a, seen) for a in prim.args if self.nest.axes(a) == axes)


def _bytes(dtype: str) -> int:
    return {"float": 4, "double": 8, "bool": 1}.get(C_COMPUTE[dtype]) or BYTES[dtype]
