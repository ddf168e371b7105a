"""Memory layout of what passes between kernels and torch's operators, and reuse of memory."""

from __future__ import annotations

import math

from kernelmill.search.codegen.axes import leaves
from kernelmill.search.codegen.fuse import Kernel, Partition
from kernelmill.search.codegen.ir import Call, Prim, iter_prims
from kernelmill.search.codegen.nest import base
from kernelmill.search.codegen.plan import Plan

CONVOLUTIONS = ("aten.conv2d.default", "aten.conv_transpose2d.input")
# operators whose results are memory of their own
FRESH = (
    *CONVOLUTIONS,
    "aten.conv1d.default",
    "aten.conv3d.default",
    "aten.conv_transpose1d.default",
    "aten.conv_transpose3d.input",
    "aten.linear.default",
    "aten.mm.default",
    "aten.bmm.default",
    "aten.addmm.default",
    "aten.baddbmm.default",
    "aten.matmul.default",
)


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[d + 1 :]) for d in range(len(shape)))


def channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    _, c, h, w = shape
    return (c * h * w, 1, w * c, c)


def takes_channels_last(call: Call) -> bool:
    x = call.args[0] if call.args else None
    return call.target in CONVOLUTIONS and isinstance(x, Prim) and len(x.shape) == 4


def layouts(partition: Partition) -> dict[Prim, tuple[int, ...]]:
    """Strides other than the usual ones where convolutions run in channels-last layout: their
    results, and what kernels compute for them alone."""
    result: dict[Prim, tuple[int, ...]] = {}
    program = partition.program
    others = set(iter_prims((program.output, [v for _, v in program.writes])))
    wanted: set[Prim] = set()
    for call in program.calls:
        if not takes_channels_last(call):
            others.update(call.inputs)
            continue
        wanted.add(call.args[0])
        others.update(iter_prims((call.args[1:], call.kwargs)))
        for out in call.outputs:
            if out is not None and len(out.shape) == 4:
                result[out] = channels_last(out.shape)
    others = {base(p) for p in others}
    for prim in wanted:
        if prim in partition.owner and prim not in others:
            result[prim] = channels_last(prim.shape)
    return result


def reusable(plan: Plan, kernel: Kernel, partition: Partition) -> dict[Prim, Prim]:
    """Results of the kernel that may overwrite one of its inputs: result -> input.

    The input is the fresh result of a torch operator that nothing else reads, of the same shape,
    layout and dtype, read only at the element that is written, and not after it is.
    """
    if any(p.kind not in ("pointwise", "reduce") for p in kernel.prims):
        return {}
    if any(p.kind in ("slice", "gather") for p in plan.nest.dims.raw) or plan.split:
        return {}
    found: dict[Prim, Prim] = {}
    for root in kernel.roots:
        if root.kind != "pointwise":
            continue
        for prim in plan.memory:
            if prim in found.values() or not _dead_after(prim, kernel, partition):
                continue
            same = prim.dtype == root.dtype and plan.memory[prim] == plan.memory[root]
            last = all(
                group.phase <= plan.nest.phase[root]
                for group in plan.groups
                if any(_reads(stage, prim) for stage in group.stages)
            )
            domain = frozenset(leaves(plan.nest.dims.flat(prim)))
            alone = sum(plan.nest.phase[root] == group.phase for group in plan.groups) == 1
            if same and last and alone and domain == plan.nest.axes(root):
                found[root] = prim
                break
    return found


def _dead_after(prim: Prim, kernel: Kernel, partition: Partition) -> bool:
    program = partition.program
    if prim.kind != "buffer":
        return False
    maker = next((c for c in program.calls if prim in c.outputs), None)
    if maker is None or maker.target not in FRESH:
        return False
    outside = [program.output, [v for _, v in program.writes]]
    outside += [(c.args, c.kwargs) for c in program.calls]
    if any(base(p) is prim for p in iter_prims(outside)):
        return False
    return not any(
        base(a) is prim
        for unit in partition.units
        if isinstance(unit, Kernel) and unit is not kernel
        for p in unit.prims
        for a in p.args
    )


def _reads(prim: Prim, wanted: Prim) -> bool:
    return any(a is wanted or _reads(a, wanted) for a in prim.args)
