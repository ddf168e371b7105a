"""Where an evaluation holds: the facts that make a measurement comparable with another."""

from __future__ import annotations

import platform
import re
from dataclasses import asdict, is_dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

# what compilers generate code for; the many other flags say nothing about a kernel
_ISA = re.compile(r"^(sse|ssse|avx|fma|f16c|bmi|amx|neon|asimd|sve|fp16|bf16|i8mm)")
# settings that change no verdict
_UNIMPORTANT = ("seed", "require_sandbox")


@lru_cache(maxsize=1)
def cpu() -> dict[str, Any]:
    """Model name and instruction sets of this machine's processor."""
    model, flags = platform.processor() or platform.machine(), []
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                key, _, value = line.partition(":")
                key = key.strip()
                if key == "model name":
                    model = value.strip()
                elif key in ("flags", "Features"):
                    flags = sorted(f for f in value.split() if _ISA.match(f))
                    break
    except OSError:
        pass
    return {"architecture": platform.machine(), "model": model, "isa": flags}


def torch_version() -> str:
    """Without importing torch."""
    try:
        return version("torch")
    except PackageNotFoundError:
        return "none"


def machine_facts() -> dict[str, Any]:
    """Hardware and software that a timing depends on.

    Example:
        >>> sorted(machine_facts())
        ['cpu', 'kernelmill', 'python', 'system', 'torch']
    """
    from kernelmill import __version__

    return {
        "cpu": cpu(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch_version(),
        "kernelmill": __version__,
    }


def judge_facts(judge: Any) -> dict[str, Any]:
    """The key under which a judge's evaluations are kept: this machine and the judge's settings.

    A judge that knows better (a remote one) says so in a mapping ``environment_key``.
    """
    key = getattr(judge, "environment_key", None)
    if key is not None:
        return dict(key() if callable(key) else key)
    settings = getattr(judge, "settings", None)
    if is_dataclass(settings) and not isinstance(settings, type):
        settings = {k: v for k, v in asdict(settings).items() if k not in _UNIMPORTANT}
    facts = getattr(judge, "environment", None)
    return {
        **machine_facts(),
        "judge": facts if isinstance(facts, dict) else None,
        "settings": settings if isinstance(settings, dict) else None,
    }
