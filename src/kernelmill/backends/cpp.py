"""Backend ``cpp``: C++ for the CPU, in three forms of source.

* Python text with ``ModelNew`` that compiles a string, by `compile_cpp` or by
  ``torch.utils.cpp_extension``;
* C++ text with the C interface of `kernelmill.backends.c_abi`;
* C++ text with a pybind11 module (``PYBIND11_MODULE(TORCH_EXTENSION_NAME, m)``) that exports
  ``forward``, called with the forward arguments and the parameters."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

from kernelmill.backends import c_abi, extension
from kernelmill.backends.base import Availability, BuildError, BuildSpec
from kernelmill.backends.device import tool_version
from kernelmill.backends.native import compile_cpp
from kernelmill.backends.python_source import build_python

__all__ = ["BACKEND", "CppBackend", "compile_cpp", "form_of"]

_PYTHON_LINE = re.compile(
    r"^(import [\w.]+( as \w+)?|from [\w.]+ import .*|class \w+(\(.*\))?:|def \w+\(.*\).*:)\s*$",
    re.MULTILINE,
)
_PYBIND = re.compile(r"\b(PYBIND11_MODULE|TORCH_EXTENSION_NAME)\b")
EXTENSION_FLAGS = ["-O3", "-march=native", "-fopenmp"]


def form_of(source: str) -> str:
    """``"python"``, ``"pybind"`` or ``"c"``.

    Example:
        >>> form_of("class ModelNew: pass"), form_of('extern "C" int forward();')
        ('python', 'c')
    """
    try:
        ast.parse(source)
        return "python"
    except (SyntaxError, ValueError):
        pass
    if _PYTHON_LINE.search(source):
        return "python"
    return "pybind" if _PYBIND.search(source) else "c"


class CppBackend:
    """Compiles with g++."""

    name = "cpp"
    brings_kernel = True
    device = "cpu"

    def available(self) -> Availability:
        compiler = os.environ.get("CXX") or "g++"
        found = tool_version(compiler)
        if not found:
            reason = (
                f"no C++ compiler ({compiler}): install g++ (Debian, Ubuntu: apt-get install g++)"
            )
            return Availability(False, reason, can_time=False)
        reason = (
            "" if extension.has_ninja() else f"sources with torch headers: {extension.NO_NINJA}"
        )
        return Availability(True, reason, version=found)

    def environment(self) -> dict[str, str]:
        return {}

    def build(self, source: str, workdir: Path, spec: BuildSpec) -> type:
        extension.prepare(workdir)
        form = form_of(source)
        if form == "python":
            return build_python(source, workdir)
        if form == "pybind":
            module = extension.load_extension(source, workdir, ".cpp", extra_cflags=EXTENSION_FLAGS)
            return extension.make_model(module, spec)
        (Path(workdir) / "kernelmill.h").write_text(c_abi.HEADER, encoding="utf-8")
        try:
            library = compile_cpp(c_abi.with_header(source))
        except BuildError as error:
            line = extension.error_line(str(error))
            where = f"line {line}: " if line else ""
            raise BuildError(f"{where}{error}", line) from error
        return c_abi.make_model(library, spec)

    def synchronize(self) -> None:
        pass


BACKEND = CppBackend()
