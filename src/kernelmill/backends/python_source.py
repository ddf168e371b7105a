"""Executing a candidate's Python text as a module, with errors that point into the text."""

from __future__ import annotations

import hashlib
import linecache
import sys
import traceback
import types
from pathlib import Path

from kernelmill.backends.base import BuildError

ENTRY = "ModelNew"
MESSAGE_LIMIT = 6000


def shorten(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """The beginning and the end of a long text: compilers put the cause at either place."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - limit} characters left out ...]\n{text[-half:]}"


def load_module(source: str, workdir: Path) -> types.ModuleType:
    """Write ``source`` to a file in ``workdir`` and execute it as a module.

    The file is real, so that `inspect` and Triton's compiler can read the text; its name and the
    module's say nothing about what is done with it.

    Raises:
        BuildError: the text has a syntax error or raises while it is executed.
    """
    name = f"kernel_{hashlib.sha256(source.encode()).hexdigest()[:12]}"
    path = Path(workdir) / f"{name}.py"
    path.write_text(source, encoding="utf-8")
    linecache.checkcache(str(path))
    try:
        code = compile(source, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f"line {line}: " if line else ""
        reason = getattr(error, "msg", None) or str(error)
        raise BuildError(f"{where}syntax error: {reason}", line) from error
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        sys.modules.pop(name, None)
        raise blame(error, path) from error
    return module


def blame(error: BaseException, path: Path) -> BuildError:
    """A `BuildError` with the last line of ``path`` that ``error`` passed through."""
    line = None
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(path):
            line = frame.lineno
    where = f"line {line}: " if line else ""
    text = shorten(str(error).strip()) or "no message"
    return BuildError(f"{where}{type(error).__name__}: {text}", line)


def model_class(module: types.ModuleType) -> type:
    """The module's ``ModelNew``.

    Raises:
        BuildError: there is none, or it is no `torch.nn.Module` class.
    """
    import torch

    found = module.__dict__.get(ENTRY)
    if found is None:
        raise BuildError(f"the source defines no class {ENTRY}")
    if not (isinstance(found, type) and issubclass(found, torch.nn.Module)):
        raise BuildError(f"{ENTRY} must be a class derived from torch.nn.Module, got {found!r}")
    return found


def build_python(source: str, workdir: Path) -> type:
    """`load_module` and `model_class` in one step."""
    return model_class(load_module(source, workdir))
