"""Backend ``opencl``: Python source with OpenCL C kernels, on the CPU through PoCL or on any other
device that has a driver.

A candidate compiles by `compile_opencl` and calls its kernels with tensors and numbers::

    program = compile_opencl("kernel void twice(global const float *x, global float *y) {"
                             " size_t i = get_global_id(0); y[i] = 2 * x[i]; }")
    y = torch.empty_like(x)
    program.twice(x.numel(), x, y)
"""

from __future__ import annotations

import ast
import ctypes
import importlib.util
import os
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kernelmill.backends.base import Availability, BuildError, BuildSpec
from kernelmill.backends.python_source import build_python, shorten

__all__ = ["BACKEND", "OpenCLBackend", "compile_opencl"]

_EXTRA = "pip install 'kernelmill[opencl]'"
_DRIVER = "PoCL is one that runs on the CPU (Debian, Ubuntu: apt-get install pocl-opencl-icd)"
_NUMBERS = {
    "char": "int8", "uchar": "uint8", "short": "int16", "ushort": "uint16", "int": "int32",
    "uint": "uint32", "long": "int64", "ulong": "uint64", "float": "float32", "double": "float64",
}  # fmt: skip


@cache
def _queue() -> Any:
    """Of the first device that compiles, a CPU before others: a driver may not know its machine."""
    import pyopencl as cl

    try:
        devices = [d for platform in cl.get_platforms() for d in platform.get_devices()]
    except cl.Error as error:  # the loader found no driver
        raise BuildError(f"no OpenCL device ({error}): {_DRIVER}") from error
    told = []
    for device in sorted(devices, key=lambda d: not d.type & cl.device_type.CPU):
        context = cl.Context([device])
        try:
            cl.Program(context, "kernel void nothing(void) {}").build(cache_dir=False)
        except (cl.Error, RuntimeError) as error:
            told.append(f"{device.name} does not compile: {str(error).strip()[-300:]}")
        else:
            return cl.CommandQueue(context)
    raise BuildError(f"no OpenCL device ({'; '.join(told) or 'none is found'}): {_DRIVER}")


class Program:
    """Kernels by name. ``program.name(size, *arguments, group=None)`` runs one and waits for it.

    ``size``: work-items, a number or up to three; ``group``: those of a work-group, which divide
    ``size``; by default the driver chooses. Arguments are contiguous tensors on the CPU, whose own
    memory is used, and numbers, which take the kernel's declared type.
    """

    def __init__(self, built: Any):
        self._kernels = {kernel.function_name: kernel for kernel in built.all_kernels()}

    def __getattr__(self, name: str) -> Any:
        kernels = self.__dict__.get("_kernels", {})
        if name not in kernels:
            raise AttributeError(f"the program has no kernel {name!r}; it has {sorted(kernels)}")

        def call(size: int | Sequence[int], *arguments: Any, group: Any = None) -> None:
            _run(kernels[name], size, arguments, group)

        return call


def compile_opencl(source: str, options: Sequence[str] = ()) -> Program:
    """Build OpenCL C.

    Args:
        source: with ``kernel`` functions. options: of the compiler, such as
            ``"-cl-mad-enable"`` or ``"-DTILE=32"``.

    Raises:
        BuildError: there is no device, or it does not compile (the compiler's own words).
    """
    import pyopencl as cl

    queue = _queue()
    flags = ["-cl-std=CL1.2", "-cl-kernel-arg-info", *options]
    try:
        return Program(cl.Program(queue.context, source).build(options=flags, cache_dir=False))
    except (cl.Error, RuntimeError) as error:
        raise BuildError(shorten(str(error).strip())) from error


def _run(kernel: Any, size: Any, arguments: tuple[Any, ...], group: Any) -> None:
    import pyopencl as cl

    size = (size,) if isinstance(size, int) else tuple(size)
    group = (group,) if isinstance(group, int) else group
    if not 1 <= len(size) <= 3 or any(not isinstance(n, int) or n < 0 for n in size):
        raise ValueError(f"size: want one to three numbers of work-items >= 0, got {size!r}")
    if kernel.num_args != len(arguments):
        raise TypeError(
            f"{kernel.function_name} takes {kernel.num_args} arguments, got {len(arguments)}"
        )
    queue = _queue()
    given, buffers = [], []
    for place, value in enumerate(arguments):
        where = f"{kernel.function_name}, argument {place}"
        if hasattr(value, "data_ptr"):
            memory = _memory(value, where)
            if memory is None:
                given.append(None)
                continue
            flags = cl.mem_flags.READ_WRITE | cl.mem_flags.USE_HOST_PTR
            buffers.append((cl.Buffer(queue.context, flags, hostbuf=memory), memory))
            given.append(buffers[-1][0])
        else:
            given.append(_number(kernel, place, value, where))
    if 0 in size:
        return
    kernel.set_args(*given)
    cl.enqueue_nd_range_kernel(queue, kernel, size, group)
    for buffer, memory in buffers:  # what a device with memory of its own has written comes back
        access = cl.map_flags.READ
        mapped, _ = cl.enqueue_map_buffer(
            queue, buffer, access, 0, (memory.size,), memory.dtype, is_blocking=False
        )
        mapped.base.release(queue)
    queue.finish()


def _memory(tensor: Any, where: str) -> Any:
    """A tensor's bytes as an array; ``None`` where it has none."""
    import numpy

    if tensor.device.type != "cpu" or not tensor.is_contiguous():
        told = f"{tensor.device.type}, {'' if tensor.is_contiguous() else 'not '}contiguous"
        raise ValueError(f"{where}: want a contiguous tensor on the CPU, got one ({told})")
    size = tensor.numel() * tensor.element_size()
    if size == 0:
        return None
    return numpy.frombuffer((ctypes.c_byte * size).from_address(tensor.data_ptr()), numpy.int8)


def _number(kernel: Any, place: int, value: Any, where: str) -> Any:
    import numpy
    import pyopencl as cl

    if not isinstance(value, (int, float)):
        raise TypeError(f"{where}: want a tensor or a number, got {type(value).__name__}")
    kind = kernel.get_arg_info(place, cl.kernel_arg_info.TYPE_NAME).replace("unsigned ", "u")
    if kind not in _NUMBERS:
        raise TypeError(f"{where}: a number was given, the kernel declares {kind}")
    dtype = numpy.dtype(_NUMBERS[kind])
    if dtype.kind in "iu":
        limits = numpy.iinfo(dtype)
        if value != int(value) or not limits.min <= value <= limits.max:
            raise OverflowError(f"{where}: {value} does not fit into {kind}")
    return dtype.type(value)


class OpenCLBackend:
    """Executes the text; the driver's compiler builds its kernels."""

    name = "opencl"
    brings_kernel = True
    device = "cpu"  # where the tensors are
    devices = ("dri", "nvidia")

    def available(self) -> Availability:
        if importlib.util.find_spec("pyopencl") is None:
            reason = f"pyopencl is not installed: {_EXTRA}"
            return Availability(False, reason, can_time=False)
        try:
            found = version("pyopencl")
        except PackageNotFoundError:
            found = "?"
        if not _has_driver():
            reason = f"no OpenCL driver: {_DRIVER}"
            return Availability(False, reason, can_time=False, version=found)
        return Availability(True, version=found)

    def environment(self) -> dict[str, str]:
        return {}

    def prepare(self) -> None:
        """Import pyopencl and start the driver, with as many threads as torch has."""
        import torch

        threads = str(torch.get_num_threads())
        os.environ |= {"POCL_MAX_PTHREAD_COUNT": threads, "POCL_CPU_MAX_CU_COUNT": threads}
        os.environ.setdefault("POCL_CACHE_DIR", os.path.join(os.getcwd(), "pocl"))
        _queue()

    def build(self, source: str, workdir: Path, spec: BuildSpec) -> type:
        if not _compiles(source):
            raise BuildError(
                "the text has no call of compile_opencl: it brings no kernel of its own"
            )
        return build_python(source, workdir)

    def synchronize(self) -> None:
        """Nothing is in flight: a call of a kernel waits for it."""


def _has_driver() -> bool:
    """Is a driver registered? Asks the file system only, so that a fork server may ask."""
    if importlib.util.find_spec("pocl_binary_distribution") is not None:
        return True
    folder = Path(os.environ.get("OCL_ICD_VENDORS", "/etc/OpenCL/vendors"))
    return folder.is_file() or any(folder.glob("*.icd"))


def _compiles(source: str) -> bool:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return True  # what is wrong is said by who executes it
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any("compile_opencl" in (getattr(f, "id", ""), getattr(f, "attr", "")) for f in calls)


BACKEND = OpenCLBackend()
