"""Where an evaluation was made: what its figures depend on."""

from __future__ import annotations

import os
import platform
from typing import Any

import torch

import kernelmill
from kernelmill.backends.doctor import cpu_model


def describe(threads: int, sandbox_level: str) -> dict[str, Any]:
    """JSON-able facts about machine and software."""
    facts = {
        "kernelmill": kernelmill.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "isa": torch.backends.cpu.get_cpu_capability(),
        "threads": threads,
        "sandbox": sandbox_level,
    }
    if torch.version.cuda and torch.cuda.device_count():
        facts["cuda"] = torch.version.cuda
        facts["gpus"] = torch.cuda.device_count()
    return facts
