"""Which primitives share a kernel: greedy growth along the data flow."""

from __future__ import annotations

from dataclasses import dataclass, field

from kernelmill.search.codegen.ir import Call, Prim, Program, Unsupported, iter_prims
from kernelmill.search.codegen.nest import Nest, base, is_computed, is_view, sources


@dataclass(eq=False)
class Kernel:
    prims: list[Prim] = field(default_factory=list)
    roots: list[Prim] = field(default_factory=list)
    # buffers that stand for views made by torch before the kernel runs: buffer -> view
    viewed: dict[Prim, Prim] = field(default_factory=dict)

    def nest(self) -> Nest:
        return Nest(self.prims, self.roots)

    def __repr__(self) -> str:
        return f"Kernel({self.prims} -> {self.roots})"


Unit = Kernel | Call


@dataclass
class Partition:
    """Units in an order in which they can run."""

    units: list[Unit]
    program: Program
    owner: dict[Prim, Kernel]


def needed(program: Program) -> list[Prim]:
    """What must exist as a tensor: outputs, written buffers, arguments of calls."""
    wanted = list(iter_prims((program.output, [value for _, value in program.writes])))
    for call in program.calls:
        wanted.extend(call.inputs)
    return wanted


def partition(program: Program, fuse: bool = True, limit: int = 0, rows: bool = False) -> Partition:
    """Group the computed prims of ``program`` into kernels.

    ``fuse=False`` gives every looped prim its own kernel; ``limit`` (if positive) is the most
    looped prims that one kernel may hold; ``rows``: only kernels of one program per row.
    """
    grouping = _Grouping(program, fuse, limit, rows)
    for prim in grouping.order:
        grouping.place(prim)
    return grouping.finish()


class _Grouping:
    def __init__(self, program: Program, fuse: bool, limit: int, rows: bool):
        self.rows = rows
        self.program = program
        self.fuse = fuse
        self.limit = limit
        self.owner: dict[Prim, Kernel] = {}
        self.kernels: list[Kernel] = []
        self.maker: dict[Prim, Call] = {
            out: call for call in program.calls for out in call.outputs if out is not None
        }
        self.targets = {base(p) for p in needed(program)}
        self.order = self._live()
        self.users: dict[Prim, set[Prim]] = {}
        for prim in self.order:
            for source in sources(prim):
                self.users.setdefault(source, set()).add(prim)
        self.readers: dict[Prim, list[Kernel]] = {}

    def _live(self) -> list[Prim]:
        seen: set[Prim] = set()
        stack = list(self.targets)
        while stack:
            prim = stack.pop()
            if prim in seen:
                continue
            seen.add(prim)
            stack.extend(sources(prim))
        return sorted((p for p in seen if is_computed(p)), key=lambda p: p.id)

    def place(self, prim: Prim) -> None:
        found = sources(prim)
        candidates: list[Kernel] = []
        for source in sorted(found, key=lambda p: -p.id):
            kernel = self.owner.get(source)
            if kernel is not None and kernel not in candidates:
                candidates.append(kernel)
        vertical = len(candidates)
        for source in found:
            if source.numel >= 1024:
                candidates.extend(k for k in self.readers.get(source, []) if k not in candidates)
        for i, kernel in enumerate(candidates):
            if self._joins(prim, kernel, i >= vertical):
                break
        else:
            kernel = Kernel()
            self.kernels.append(kernel)
            self._alone(prim)
        kernel.prims.append(prim)
        self.owner[prim] = kernel
        for source in found:
            readers = self.readers.setdefault(source, [])
            if kernel not in readers:
                readers.append(kernel)
        for source in found:
            other = self.owner.get(source)
            if other is not None and other is not kernel:
                kernel = self._merge(kernel, other)

    def _merge(self, kernel: Kernel, other: Kernel) -> Kernel:
        """One kernel of two where the later one reads the earlier one's results."""
        prims = sorted({*kernel.prims, *other.prims}, key=lambda p: p.id)
        if not self._room([p for p in prims if p.kind != "pointwise"]):
            return kernel
        both = (kernel, other)
        outside = [s for p in prims for s in sources(p) if self.owner.get(s) not in both]
        if any(self._depends(s, k, set()) for s in outside for k in both):
            return kernel
        try:
            Nest(prims, self._roots(prims, prims[-1]), self.rows)
        except Unsupported:
            return kernel
        self.kernels.remove(other)
        kernel.prims = prims
        for prim in other.prims:
            self.owner[prim] = kernel
        for readers in self.readers.values():
            if other in readers:
                readers.remove(other)
                if kernel not in readers:
                    readers.append(kernel)
        return kernel

    def _room(self, looped: list[Prim]) -> bool:
        if len(looped) < 2:
            return True
        return self.fuse and not (self.limit and len(looped) > self.limit)

    def _alone(self, prim: Prim) -> None:
        Nest([prim], [prim], self.rows)

    def _joins(self, prim: Prim, kernel: Kernel, sideways: bool) -> bool:
        if prim.kind != "pointwise" and not self._room(
            [p for p in (*kernel.prims, prim) if p.kind != "pointwise"]
        ):
            return False
        if any(
            self._depends(source, kernel, set())
            for source in sources(prim)
            if self.owner.get(source) is not kernel
        ):
            return False
        prims = [*kernel.prims, prim]
        try:
            nest = Nest(prims, self._roots(prims, prim), self.rows)
            if sideways:
                before = Nest(kernel.prims, self._roots(kernel.prims, kernel.prims[-1]))
                same = len(nest.parallel) == len(before.parallel)
                return same and nest.largest == before.largest
        except Unsupported:
            return False
        return True

    def _roots(self, prims: list[Prim], last: Prim) -> list[Prim]:
        inside = set(prims)
        return [
            p
            for p in prims
            if p is last or p in self.targets or not (self.users.get(p, set()) & inside)
        ]

    def _depends(self, prim: Prim, kernel: Kernel, seen: set) -> bool:
        """Does computing ``prim`` need a result of ``kernel``?"""
        unit = self.owner.get(prim) or self.maker.get(prim)
        if unit is kernel:
            return True
        if unit is None or unit in seen:
            return False
        seen.add(unit)
        inputs = (
            [base(p) for p in unit.inputs]
            if isinstance(unit, Call)
            else [s for p in unit.prims for s in sources(p) if self.owner.get(s) is not unit]
        )
        return any(self._depends(p, kernel, seen) for p in inputs)

    def finish(self) -> Partition:
        for kernel in self.kernels:
            inside = set(kernel.prims)
            kernel.roots = [
                p for p in kernel.prims if p in self.targets or self.users.get(p, set()) - inside
            ]
        for kernel in list(self.kernels):
            self._check(kernel)
        return Partition(self._sorted(), self.program, self.owner)

    def _check(self, kernel: Kernel) -> None:
        """A value stored by the kernel may turn out to lack the parallel axes (it was a mere
        ingredient while the kernel grew): such a kernel falls apart into its prims."""
        try:
            Nest(kernel.prims, kernel.roots, self.rows)
            return
        except Unsupported:
            pass
        self.kernels.remove(kernel)
        for prim in kernel.prims:
            single = Kernel([prim], [prim])
            Nest([prim], [prim], self.rows)
            self.kernels.append(single)
            self.owner[prim] = single

    def _sorted(self) -> list[Unit]:
        result: list[Unit] = []
        done: set = set()

        def visit(unit: Unit) -> None:
            if unit in done:
                return
            done.add(unit)
            if isinstance(unit, Call):
                inputs = [base(p) for p in unit.inputs]
            else:
                inputs = [s for p in unit.prims for s in sources(p)]
            for prim in inputs:
                maker = self.owner.get(prim) or self.maker.get(prim)
                if maker is not None and maker is not unit:
                    visit(maker)
            result.append(unit)

        for unit in [*self.program.calls, *self.kernels]:
            visit(unit)
        return result


__all__ = ["Kernel", "Partition", "Unit", "is_view", "needed", "partition"]
