"""The judge: sandbox, correctness, exploits, timing."""

from importlib import import_module

_EXPORTS = {
    "Judge": "judge",
    "SandboxUnavailable": "judge",
    "evaluate": "judge",
    "memory_bandwidth": "judge",
    "Settings": "settings",
    "TaskReport": "session",
    "Evaluation": "evaluation",
    "Errors": "evaluation",
    "Reason": "evaluation",
    "Timing": "evaluation",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str):
    if name in _EXPORTS:
        return getattr(import_module(f"kernelmill.evaluate.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'kernelmill.evaluate' has no attribute {name!r}")
