"""A kernel's loop structure before any schedule: stages, their domains, what runs in parallel.

A *stage* is a prim that gets a loop of its own: a stored result, a reduction, a scan, a window
reduction. Everything else is computed inside the loops of the stages that use it.
"""

from __future__ import annotations

from collections.abc import Iterable

from kernelmill.search.codegen.axes import Axis, Dims, leaves, volume
from kernelmill.search.codegen.ir import BYTES, VIEWS, Prim, Unsupported

LOOPED = ("reduce", "scan", "window")
SMALL = 16384
LONGEST_ROW = 32768
MOST_LOCAL_BYTES = 2 << 20


def is_view(prim: Prim) -> bool:
    return prim.kind in VIEWS or prim.kind == "slice"


def is_computed(prim: Prim) -> bool:
    return prim.kind in ("pointwise", "gather", *LOOPED)


def base(prim: Prim) -> Prim:
    """What a chain of views looks at."""
    while is_view(prim):
        prim = prim.args[0]
    return prim


def sources(prim: Prim) -> list[Prim]:
    """Buffers and computed prims that ``prim`` reads, views looked through."""
    result = []
    for arg in prim.args:
        found = base(arg)
        if found.kind not in ("const", "iota") and found not in result:
            result.append(found)
    return result


class Nest:
    """Dimensions, stages and phases of the kernel that computes ``prims`` and stores ``roots``.

    Raises:
        Unsupported: no consistent loop structure, or one that would be slow.
    """

    def __init__(self, prims: Iterable[Prim], roots: Iterable[Prim], rows: bool = False):
        self.prims = list(prims)
        self.inside = set(self.prims)
        self.roots = list(roots)
        self.dims = Dims(lambda p: is_computed(p) and p not in self.inside)
        for prim in self.prims:
            self.dims.visit(prim)
        self.dims.check()
        loops = [p for p in self.prims if p.kind in LOOPED]
        stores = [p for p in self.roots if p.kind not in LOOPED]
        self.stages = sorted([*loops, *stores], key=lambda p: p.id)
        self.phase: dict[Prim, int] = {}
        self._memo: dict[Prim, int] = {}
        for stage in self.stages:
            self.phase[stage] = self._phase(stage)
        self.phases = 1 + max(self.phase.values(), default=0)
        self.parallel = self._parallel()
        self._judge()
        self._judge_moved()
        if rows:
            self._judge_rows()

    def axes(self, prim: Prim) -> frozenset[Axis]:
        return frozenset(self.dims.flat(prim))

    def domain(self, stage: Prim) -> frozenset[Axis]:
        """Every axis that the stage's loops run over (windows: the output's)."""
        if stage.kind == "reduce":
            return self.axes(stage.args[0])
        return self.axes(stage)

    def reduced(self, stage: Prim) -> frozenset[Axis]:
        """Axes that must be walked within one parallel step."""
        if stage.kind == "reduce":
            return self.domain(stage) - self.axes(stage)
        if stage.kind == "scan":
            return frozenset(self.dims.of(stage)[stage.attrs["dim"]])
        if stage.kind == "window":
            lead = len(stage.shape) - len(stage.attrs["kernel"])
            return frozenset(leaves(a for d in self.dims.of(stage)[lead:] for a in d))
        return frozenset()

    def _phase(self, stage: Prim) -> int:
        """One more than the last phase whose results the stage needs."""
        return max((self._last(a) for a in stage.args), default=-1) + 1

    def _last(self, prim: Prim) -> int:
        if prim not in self._memo:
            if prim in self.phase and prim.kind in LOOPED:
                value = self.phase[prim]
            elif is_computed(prim) and prim not in self.inside:
                value = -1
            else:
                value = max((self._last(a) for a in prim.args), default=-1)
            self._memo[prim] = value
        return self._memo[prim]

    def _parallel(self) -> frozenset[Axis]:
        common: frozenset[Axis] | None = None
        for stage in self.stages:
            free = self.domain(stage) - self.reduced(stage)
            common = free if common is None else common & free
        return common or frozenset()

    def _judge_rows(self) -> None:
        """For one program per row: every stage covers the row, or is a value of it."""
        domains = {self.domain(s) for s in self.stages}
        reduces = [s for s in self.stages if s.kind == "reduce"]
        if any(s.kind in ("scan", "window") for s in self.stages):
            raise Unsupported("scan or window in a row kernel")
        if not reduces:
            if len(domains) > 1:
                raise Unsupported("results of different shapes")
            return
        whole = frozenset().union(*domains)
        if any(d not in (whole, self.parallel) for d in domains):
            raise Unsupported("stages that cover part of a row")
        if any(self.reduced(s) != whole - self.parallel for s in reduces):
            raise Unsupported("reductions over different axes")
        if volume(whole - self.parallel) > LONGEST_ROW:
            raise Unsupported("rows too long for one program")

    def _judge_moved(self) -> None:
        """A stage's result must not be read at another step's index."""
        for prim in list(self.dims.raw):
            if prim.kind not in ("slice", "gather", "window"):
                continue
            if is_computed(prim) and prim not in self.inside:
                continue
            source = self.dims.of(prim.args[0])
            if prim.kind == "window":
                moved = source[len(prim.shape) - len(prim.attrs["kernel"]) :]
            else:
                moved = [source[prim.attrs["dim"]]]
            axes = {a for dim in moved for a in dim} & self.parallel
            if axes and any(axes & self.axes(p) for p in self._stages_under(prim.args[0])):
                raise Unsupported("a result of this kernel read at another parallel index")

    def _stages_under(self, prim: Prim) -> list[Prim]:
        if is_computed(prim) and prim not in self.inside:
            return []
        below = [s for a in prim.args for s in self._stages_under(a)]
        return [prim, *below] if prim.kind in LOOPED else below

    def _judge(self, parallel: int = 8) -> None:
        largest = max((volume(self.domain(s)) for s in self.stages), default=0)
        self.largest = largest
        steps = volume(self.parallel)
        if largest > SMALL and steps < parallel:
            if self.phases > 1:
                raise Unsupported("too little to run in parallel")
            if len({self.domain(s) for s in self.stages}) > 1:
                raise Unsupported("stages of different domains with nothing in common")
        for stage in self.stages:
            if stage.kind == "window" and len(stage.attrs["kernel"]) != len(
                [d for d in self.dims.of(stage.args[0])[-len(stage.attrs["kernel"]) :]]
            ):
                raise Unsupported("window")
            local = volume(self.axes(stage) - self.parallel) * BYTES[stage.dtype]
            if stage.kind in LOOPED and stage not in self.roots and local > MOST_LOCAL_BYTES:
                raise Unsupported("local results beyond the near caches")
