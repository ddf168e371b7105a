"""What this machine offers: processor, compiler, backends, extras."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from dataclasses import asdict
from functools import cache
from typing import Any

from kernelmill.backends.base import Availability
from kernelmill.backends.device import has_cuda, tool_version
from kernelmill.backends.registry import get, names

# extra -> the packages that tell whether it is installed, and what it is for
EXTRAS = {
    "workbench": (("typer", "rich", "sqlalchemy", "jinja2", "matplotlib"), "command line, search"),
    "triton": (("triton",), "Triton kernels"),
    "pallas": (("jax",), "Pallas kernels"),
    "opencl": (("pyopencl",), "OpenCL kernels"),
    "llm": (("openai",), "kernels written by a language model"),
    "hf": (("transformers",), "caches and layers for transformers models"),
    "cluster": (("ray",), "searches over many machines"),
    "serve": (("fastapi", "uvicorn"), "the evaluation service"),
    "train": (("safetensors",), "training recipes, checkpoints"),
    "docs": (("mkdocs", "material", "mkdocstrings"), "building the documentation"),
    "test": (("pytest", "hypothesis"), "running the tests"),
}

COSTS = {
    "inductor": "no torch.compile candidates, and no torch.compile column in the final table",
    "cpp": "no C++ candidates: on a CPU the search is left with plain PyTorch",
    "triton": "no Triton candidates",
    "cuda": "no CUDA C++ candidates",
    "pallas": "no Pallas candidates",
    "opencl": "no OpenCL candidates",
    "ascendc": "Ascend C candidates are checked, but neither built nor run",
}


def diagnose() -> dict[str, Any]:
    """Facts about this machine that need nothing above the backends.

    Returns:
        ``python``, ``torch``, ``cpu``, ``gpu``, ``compiler`` (dictionaries), ``backends`` (a list
        with name, usable, can_time, version, reason, cost) and ``extras`` (a list with name,
        installed, missing, purpose).

    Example:
        >>> from kernelmill.backends.doctor import diagnose
        >>> sorted(diagnose())
        ['backends', 'compiler', 'cpu', 'extras', 'gpu', 'python', 'torch']
    """
    import torch

    cxx = os.environ.get("CXX") or "g++"
    return {
        "python": {"version": platform.python_version(), "path": sys.executable},
        "torch": {"version": torch.__version__, "threads": torch.get_num_threads()},
        "cpu": {
            "model": cpu_model(),
            "isa": torch.backends.cpu.get_cpu_capability(),
            "cores": _cores(),
        },
        "gpu": _gpu(),
        "compiler": {"command": cxx, "version": tool_version(cxx), "ninja": _ninja()},
        "backends": [_backend(name) for name in names()],
        "extras": [_extra(name) for name in EXTRAS],
    }


@cache
def cpu_model() -> str:
    """The processor's own name."""
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith(("model name", "CPU part", "cpu model")):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ninja() -> bool:
    from kernelmill.backends.extension import has_ninja

    return has_ninja()


def _gpu() -> dict[str, Any]:
    import torch

    if not has_cuda():
        built = torch.version.cuda or torch.version.hip
        reason = "no device" if built else f"torch {torch.__version__} is built for the CPU alone"
        return {"available": False, "reason": reason}
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"available": True, "devices": devices}


def _backend(name: str) -> dict[str, Any]:
    try:
        found = get(name).available()
    except Exception as error:  # a broken backend of somebody else must not hide the others
        found = Availability(False, f"{type(error).__name__}: {error}", can_time=False)
    cost = "" if found.usable else COSTS.get(name, f"no {name} candidates")
    return {"name": name, **asdict(found), "cost": cost}


def _extra(name: str) -> dict[str, Any]:
    packages, purpose = EXTRAS[name]
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    return {"name": name, "installed": not missing, "missing": missing, "purpose": purpose}
