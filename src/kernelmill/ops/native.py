"""The compiled CPU kernels: where the shared library is, which instruction set it runs with.

The library (``csrc/``) has a plain C ABI and is opened with ctypes, after torch: its ``GOMP_*``
symbols resolve to the OpenMP runtime that torch has loaded, so `torch.set_num_threads` is obeyed.
Nothing is opened before an operator first needs it.

Environment: ``KERNELMILL_NATIVE=0`` leaves the library alone (references do the work);
``KERNELMILL_ISA=avx512|avx2|portable`` takes less than the CPU has.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import sysconfig
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

log = logging.getLogger(__name__)

ISAS = ("avx512", "avx2", "portable")  # best first
_SUFFIX = {"darwin": "dylib", "win32": "dll"}.get(sys.platform, "so")
_FILE = f"libkernelmill_native.{_SUFFIX}" if _SUFFIX != "dll" else "kernelmill_native.dll"


@dataclass(frozen=True)
class NativeStatus:
    """What `native_status` found.

    Args:
        available: compiled kernels are in use.
        isa: the instruction set that they use (``""`` where not available).
        path: the library's file, if one was found.
        reason: one sentence: what is in use, or why not and what it costs.
    """

    available: bool
    isa: str
    path: str | None
    reason: str


class Native:
    """The opened library: ``function(name)`` gives the kernel of the instruction set in use."""

    def __init__(self, path: Path):
        self.path = path
        self._library = ctypes.CDLL(str(path))
        self._library.kernelmill_isa.restype = ctypes.c_char_p
        best = self._library.kernelmill_isa().decode()
        self.isas = ISAS[ISAS.index(best) :]
        wanted = os.environ.get("KERNELMILL_ISA", best)
        if wanted not in self.isas:
            raise OSError(f"KERNELMILL_ISA={wanted!r}: this CPU has {', '.join(self.isas)}")
        self.isa = wanted
        self._functions: dict[tuple[str, str], ctypes._CFuncPtr] = {}

    def function(self, name: str, argtypes: tuple = ()):
        """``kernelmill_<name>_<isa>``: a C function that returns an int."""
        key = (name, self.isa)
        found = self._functions.get(key)
        if found is None:
            try:
                found = getattr(self._library, f"kernelmill_{name}_{self.isa}")
            except AttributeError:
                raise RuntimeError(
                    f"{self.path} was built before the kernel {name!r}: install kernelmill again"
                ) from None
            found.argtypes = argtypes
            found.restype = ctypes.c_int
            self._functions[key] = found
        return found


def _candidates() -> list[Path]:
    import kernelmill

    folders = [*map(Path, kernelmill.__path__)]
    for key in ("platlib", "purelib"):  # an editable install keeps the library beside site-packages
        folders.append(Path(sysconfig.get_path(key)) / "kernelmill")
    return [folder / _FILE for folder in dict.fromkeys(folders)]


@lru_cache(maxsize=1)
def _open() -> tuple[Native | None, str]:
    if os.environ.get("KERNELMILL_NATIVE") == "0":
        return None, "KERNELMILL_NATIVE=0 is set: the references run instead of compiled kernels."
    import torch  # noqa: F401  its OpenMP runtime must be there first

    path = next((path for path in _candidates() if path.is_file()), None)
    if path is None:
        return None, (
            f"{_FILE} was not built (no C++ compiler at install time?): operators run as plain "
            "PyTorch references, several times slower. Install g++ and reinstall kernelmill."
        )
    try:
        native = Native(path)
    except (OSError, AttributeError) as error:
        return None, f"{path} cannot be used ({error}): operators run as plain PyTorch references."
    return native, f"compiled kernels for {native.isa} from {path}."


def native() -> Native | None:
    """The library, or ``None`` where there is none (see `native_status` for the reason)."""
    library, reason = _open()
    if library is None and not getattr(native, "told", False):
        native.told = True
        log.debug("no compiled CPU kernels: %s", reason)
    return library


def native_status() -> NativeStatus:
    """Whether compiled CPU kernels are in use, with which instruction set, and if not why.

    Example:
        >>> from kernelmill.ops import native_status
        >>> status = native_status()
        >>> status.available or "references" in status.reason
        True
    """
    library, reason = _open()
    if library is None:
        return NativeStatus(False, "", None, reason)
    return NativeStatus(True, library.isa, str(library.path), reason)


@contextmanager
def use_isa(isa: str):
    """Run the kernels of another instruction set (for tests and measurements)."""
    library = native()
    if library is None or isa not in library.isas:
        has = library.isas if library else ()
        raise ValueError(f"isa: got {isa!r}, usable here: {', '.join(has) or 'none'}")
    before, library.isa = library.isa, isa
    try:
        yield
    finally:
        library.isa = before
