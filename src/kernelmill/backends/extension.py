"""C++ and CUDA sources against torch's own headers (``torch.utils.cpp_extension``)."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from kernelmill.backends.base import BuildError, BuildSpec
from kernelmill.backends.python_source import shorten
from kernelmill.backends.state import add_state, state_reader

NO_NINJA = "torch.utils.cpp_extension needs ninja: pip install ninja"
_LINE = re.compile(
    r"candidate[\w.]*:(\d+):(?:\d+:)? *(?:fatal )?error|candidate[\w.]*\((\d+)\): error"
)


def prepare(workdir: Path) -> None:
    """Point the build folders of torch's extensions and of `compile_cpp` into ``workdir`` and
    find the ninja of this environment even where it is not activated."""
    workdir = Path(workdir)
    os.environ["TORCH_EXTENSIONS_DIR"] = str(workdir / "extensions")
    os.environ["KERNELMILL_CACHE"] = str(workdir / "native")
    os.environ.setdefault("MAX_JOBS", "2")
    scripts = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath)
    if scripts not in path.split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([scripts, path])


def has_ninja() -> bool:
    return bool(shutil.which("ninja") or shutil.which("ninja", path=Path(sys.executable).parent))


def error_line(log: str) -> int | None:
    """The first line of the candidate's own text that a compiler's log complains of."""
    match = _LINE.search(log)
    return int(match[1] or match[2]) if match else None


def errors_of(log: str, limit: int = 30) -> str:
    """A compiler's log from its first error on."""
    lines = log.splitlines()
    first = next((i for i, line in enumerate(lines) if "error:" in line or ": error" in line), 0)
    return shorten("\n".join(lines[first : first + limit]))


def load_extension(source: str, workdir: Path, suffix: str, **options: Any) -> Any:
    """Compile a source with a pybind11 module and import it.

    Raises:
        BuildError: no ninja, or the compiler's errors.
    """
    import torch.utils.cpp_extension as cpp_extension

    if not has_ninja():
        raise BuildError(NO_NINJA)
    workdir = Path(workdir)
    path = workdir / f"candidate{suffix}"
    path.write_text(source, encoding="utf-8")
    build = workdir / "extension"
    build.mkdir(exist_ok=True)
    try:
        return cpp_extension.load("kernel", [str(path)], build_directory=str(build), **options)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        log = str(error)
        line = error_line(log)
        where = f"line {line}: " if line else ""
        raise BuildError(f"{where}{errors_of(log)}", line) from error


def make_model(module: Any, spec: BuildSpec) -> type:
    """A ``ModelNew`` that calls ``module.forward``: with the forward arguments and then
    those of the parameters, buffers and constructor arguments that its signature asks for.

    Raises:
        BuildError: the module exports no ``forward``.
    """
    import torch

    function = getattr(module, "forward", None)
    if function is None:
        raise BuildError('the module exports no forward: m.def("forward", &forward) is wanted')
    types = _argument_types(function)

    class ModelNew(torch.nn.Module):
        def __init__(self, *args: Any, **kwargs: Any):
            super().__init__()
            add_state(self, spec)
            self._constructor = [*args, *kwargs.values()]
            self._parameters_of = state_reader(self, spec, buffers=False)
            self._buffers_of = state_reader(self, spec, parameters=False)

        def forward(self, *inputs: Any) -> Any:
            parameters, buffers, rest = self._parameters_of(), self._buffers_of(), self._constructor
            further = (
                parameters,
                parameters + buffers,
                parameters + rest,
                parameters + buffers + rest,
                [],
                rest,
            )
            fitting = [a for a in further if types is None or _fits([*inputs, *a], types)]
            if not fitting:
                raise TypeError(
                    f"forward takes {len(types)} arguments ({', '.join(types)}); there are "
                    f"{len(inputs)} inputs, {len(parameters)} parameters, {len(buffers)} buffers "
                    f"and {len(rest)} constructor arguments"
                )
            return function(*inputs, *fitting[0])

    ModelNew.__qualname__ = "ModelNew"
    return ModelNew


def _fits(arguments: list[Any], types: list[str]) -> bool:
    import torch

    return len(arguments) == len(types) and all(
        isinstance(argument, torch.Tensor) == ("Tensor" in kind)
        for argument, kind in zip(arguments, types, strict=True)
    )


def _argument_types(function: Any) -> list[str] | None:
    """Read from the signature that pybind11 writes into the docstring; ``None`` where it cannot
    be told (overloads, optional arguments)."""
    text = (function.__doc__ or "").strip().splitlines()
    if not text or "Overloaded" in (function.__doc__ or "") or " = " in text[0]:
        return None
    match = re.match(r"forward\((.*)\)\s*->", text[0])
    if match is None:
        return None
    depth, parts = 0, [""]
    for character in match[1]:
        depth += character in "[(<"
        depth -= character in "])>"
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.partition(":")[2].strip() for part in parts if part.strip()]
