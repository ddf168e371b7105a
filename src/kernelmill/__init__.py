"""kernelmill: bring a PyTorch operator, leave with a faster one that is proven right."""

from importlib import import_module

__version__ = "0.1.0"

_EXPORTS = {
    "Task": "kernelmill.tasks",
    "Candidate": "kernelmill.tasks",
    "evaluate": "kernelmill.evaluate",
    "optimize": "kernelmill.search",
    "load": "kernelmill.search",
}

__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str):
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'kernelmill' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
