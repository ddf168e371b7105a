"""Operators: functions with a reference in plain PyTorch and fast kernels.

Every folder here is a family and exports its public functions, which are found on first use:
``from kernelmill.ops import gem``. `kernelmill.ops.registry` holds the definitions.
"""

import sys
from importlib import import_module
from types import ModuleType

_HERE = {
    "native_status": "kernelmill.ops.native",
    "NativeStatus": "kernelmill.ops.native",
    "operators": "kernelmill.ops.registry",
    "use_backend": "kernelmill.ops.registry",
}


class _Package(ModuleType):
    """A function may be named like its family's folder (``gem.gem``); the function wins."""

    def __setattr__(self, name, value):
        if isinstance(value, ModuleType) and name in getattr(value, "__all__", ()):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str):
    if name in _HERE:
        return getattr(import_module(_HERE[name]), name)
    if not name.startswith("_"):
        from kernelmill.ops.registry import families

        for family in families():
            module = import_module(f"{__name__}.{family}")
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    from kernelmill.ops.registry import families

    names = {*_HERE}
    for family in families():
        names.update(import_module(f"{__name__}.{family}").__all__)
    return sorted(names)
