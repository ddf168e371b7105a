"""Finding backends: every module of this package that defines ``BACKEND``, and every entry
point of the group ``kernelmill.backends``. A further backend is one file, here or elsewhere."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

import kernelmill.backends
from kernelmill.backends.base import Backend

GROUP = "kernelmill.backends"


@cache
def _own() -> dict[str, Backend]:
    found = {}
    for info in pkgutil.iter_modules(kernelmill.backends.__path__):
        module = import_module(f"kernelmill.backends.{info.name}")
        backend = getattr(module, "BACKEND", None)
        if backend is not None:
            found[backend.name] = backend
    return found


@cache
def _entries() -> dict:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def names() -> tuple[str, ...]:
    """The known backends, usable here or not.

    Example:
        >>> from kernelmill import backends
        >>> {"torch", "inductor", "cpp", "triton", "cuda"} <= set(backends.names())
        True
    """
    return tuple(sorted({**_own(), **_entries()}))


@cache
def get(name: str) -> Backend:
    """The backend called ``name``.

    Raises:
        ValueError: there is none (the message lists the known ones), or the package that
            provides it does not import.

    Example:
        >>> from kernelmill import backends
        >>> backends.get("torch").name
        'torch'
        >>> backends.get("fortran")
        Traceback (most recent call last):
        ValueError: unknown backend 'fortran'; known: ...cpp, cuda, inductor...
    """
    if name in _own():
        return _own()[name]
    if name in _entries():
        entry = _entries()[name]
        try:
            found = entry.load()
        except Exception as error:
            raise ValueError(
                f"backend {name!r} ({entry.value}) does not import: {error}"
            ) from error
        return getattr(found, "BACKEND", found)
    raise ValueError(f"unknown backend {name!r}; known: {', '.join(names())}")
