"""Calling compiled kernels: which tensors they take, and their arguments in C."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from kernelmill.ops.native import native
from kernelmill.ops.registry import interpreting

# The codes by which csrc/*.cpp know a dtype; a kernel may have more (float64: 3).
DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}


def unfit(backend: str, name: str, x: Tensor, dtypes=DTYPES) -> str | None:
    """Why kernels of ``"cpu"`` or ``"triton"`` cannot take the argument ``name``, if so.

    Looks at device and dtype only: it runs while compiling, too.
    """
    device = x.device.type
    there = device == "cpu" if backend == "cpu" else device == "cuda" or interpreting()
    if not there:
        return f"{name} is on {x.device}"
    if x.dtype not in dtypes:
        return f"no {'CPU' if backend == 'cpu' else 'Triton'} kernel for {x.dtype}"
    return None


def unfit_together(backend: str, tensors: list[Tensor]) -> str | None:
    """`unfit` for tensors that must be of one dtype."""
    for x in tensors:
        if (refusal := unfit(backend, "a tensor", x)) is not None:
            return refusal
        if x.dtype != tensors[0].dtype:
            return f"dtypes differ: {x.dtype} and {tensors[0].dtype}"
    return None


def longs(*values: int) -> ctypes.Array:
    return (ctypes.c_int64 * len(values))(*values)


def pointer(x: Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()


def run(name: str, argtypes: tuple, *args) -> None:
    """Call a kernel whose last argument is the number of threads and that fails without memory."""
    if native().function(name, argtypes)(*args, torch.get_num_threads()):
        raise MemoryError(f"{name}: no memory for its scratch")
