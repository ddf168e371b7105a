"""Backend ``cuda``: CUDA C++.

Three forms: Python text with ``ModelNew`` (``load_inline(cuda_sources=...)``), ``.cu`` text with
a pybind11 module that exports ``forward``, and ``.cu`` text with the C interface of
`kernelmill.backends.c_abi` (pointers are device pointers; launch on the default stream).
Without a GPU sources can only be compiled: `CudaBackend.compile_check`."""

from __future__ import annotations

import ast
import ctypes
import os
import shutil
import subprocess
from pathlib import Path

from kernelmill.backends import c_abi, extension
from kernelmill.backends.base import Availability, BuildError, BuildSpec
from kernelmill.backends.cpp import form_of
from kernelmill.backends.device import has_cuda, synchronize, tool_version
from kernelmill.backends.python_source import build_python

FLAGS = ["-O3", "--use_fast_math"]
# What load_inline puts in front of cuda_sources.
PRELUDE = "#include <torch/types.h>\n#include <cuda.h>\n#include <cuda_runtime.h>\n"


class CudaBackend:
    """Compiles with nvcc and runs on a GPU."""

    name = "cuda"
    brings_kernel = True
    devices = ("nvidia",)
    device = "cuda"

    def available(self) -> Availability:
        found = tool_version("nvcc")
        if not found:
            reason = "nvcc is not on the PATH: install the CUDA toolkit"
            return Availability(False, reason, can_time=False)
        if not has_cuda():
            reason = (
                "no GPU that this torch can use: sources can be compiled (nvcc is there) but not "
                "run; needs a CUDA device and a CUDA build of torch"
            )
            return Availability(False, reason, can_time=False, version=found)
        return Availability(True, version=found)

    def environment(self) -> dict[str, str]:
        return {}

    def build(self, source: str, workdir: Path, spec: BuildSpec) -> type:
        extension.prepare(workdir)
        form = form_of(source)
        if not has_cuda():
            checked = self.compile_check(source, workdir)
            raise BuildError(f"{checked}; it cannot run: {self.available().reason}")
        if form == "python":
            return build_python(source, workdir)
        if form == "pybind":
            options = {"extra_cuda_cflags": FLAGS, "extra_cflags": ["-O3"], "with_cuda": True}
            if os.environ.get("CUTLASS_PATH"):
                options["extra_include_paths"] = [f"{os.environ['CUTLASS_PATH']}/include"]
            return extension.make_model(
                extension.load_extension(source, workdir, ".cu", **options), spec
            )
        library = Path(workdir) / "kernel.so"
        self._nvcc(
            c_abi.with_header(source),
            workdir,
            ["-arch=native", "-shared", "-Xcompiler", "-fPIC", "-o", str(library)],
        )
        return c_abi.make_model(ctypes.CDLL(str(library)), spec, device="cuda")

    def compile_check(self, source: str, workdir: Path) -> str:
        """Compile without running, which needs no GPU; returns a sentence on what was compiled.

        Raises:
            BuildError: nvcc is missing, finds errors, or there is no CUDA text to compile.
        """
        form = form_of(source)
        texts = [source] if form != "python" else _cuda_strings(source)
        if not texts:
            raise BuildError("no string of the source holds a __global__ function to compile")
        for text in texts:
            flags = ["-c", "-o", os.devnull]
            if form == "c":
                text = c_abi.with_header(text)
            else:
                text = text if form == "pybind" else PRELUDE + '#line 1 "candidate"\n' + text
                flags += _torch_flags()
            self._nvcc(text, workdir, flags)
        return f"compiled {len(texts)} CUDA source{'s' if len(texts) > 1 else ''} with nvcc"

    def _nvcc(self, text: str, workdir: Path, flags: list[str]) -> None:
        nvcc = shutil.which("nvcc")
        if nvcc is None:
            raise BuildError("nvcc is not on the PATH: install the CUDA toolkit")
        path = Path(workdir) / "candidate.cu"
        path.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [nvcc, "-std=c++20", *FLAGS, str(path), *flags], capture_output=True, text=True
        )
        if done.returncode:
            log = done.stderr + done.stdout
            line = extension.error_line(log)
            where = f"line {line}: " if line else ""
            raise BuildError(f"{where}nvcc: {extension.errors_of(log)}", line)

    def synchronize(self) -> None:
        synchronize(self.device)


def _cuda_strings(source: str) -> list[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise BuildError(f"line {error.lineno}: syntax error: {error.msg}", error.lineno) from error
    strings = (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return [text for text in strings if "__global__" in text]


def _torch_flags() -> list[str]:
    import sysconfig

    import torch.utils.cpp_extension as cpp_extension

    folders = [*cpp_extension.include_paths(), sysconfig.get_paths()["include"]]
    return [*(f"-I{folder}" for folder in folders), "-DTORCH_EXTENSION_NAME=kernel"]


BACKEND = CudaBackend()
