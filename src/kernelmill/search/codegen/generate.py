"""From a module with example inputs to the text of a candidate."""

from __future__ import annotations

import logging
from typing import Any

from kernelmill.search.codegen.fuse import partition
from kernelmill.search.codegen.graph import capture_modes
from kernelmill.search.codegen.ir import Unsupported
from kernelmill.search.codegen.module import Assembler
from kernelmill.search.codegen.schedule import Schedule

log = logging.getLogger(__name__)


def generate(
    module: Any,
    inputs: list[Any],
    reference: str,
    schedule: Schedule,
    device: str = "cpu",
    programs: dict | None = None,
) -> str:
    """Python text that defines ``ModelNew``.

    Args:
        module: the reference, as the task builds it.
        inputs: its positional arguments; the kernels are made for their shapes.
        reference: the source text that defines ``Model``.
        schedule: see `Schedule`.
        device: ``cpu`` for C++ text, anything else for Triton text.
        programs: keeps captured graphs between calls for the same module and inputs.

    Raises:
        Unsupported: there is nothing that the generator can do for this module.
    """
    programs = {} if programs is None else programs
    key = schedule.own_depthwise
    triton = device != "cpu"
    if key not in programs:
        programs[key] = capture_modes(module, inputs, schedule.own_depthwise, triton)
    modes = [mode for mode, _ in programs[key]]

    def text(fuse: bool) -> str:
        parts = [partition(program, fuse=fuse, rows=triton) for _, program in programs[key]]
        return Assembler(parts, modes, schedule, device).text(reference)

    try:
        return text(schedule.fuse)
    except Unsupported as reason:
        if not schedule.fuse:
            raise
        log.debug("without fusion: %s", reason)
        return text(False)
