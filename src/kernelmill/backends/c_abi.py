"""The C interface of kernels: ``kernelmill.h``, and a ``ModelNew`` around a shared library.

A source in this form needs no torch headers, compiles in about a second and serves every torch
version::

    #include "kernelmill.h"

    extern "C" int forward(const km_tensor* in, int n_in, km_tensor* out, int n_out) {
        const float* x = (const float*)in[0].data;
        float* y = (float*)out[0].data;
        for (int64_t i = 0; i < km_numel(&in[0]); i++) y[i] = x[i] > 0 ? x[i] : 0;
        return 0;
    }

``in`` holds the forward arguments, then every entry of the module's state_dict in its order. A
tensor argument may be nested in lists; a Python number arrives as a tensor without dimensions
(int64, float64 or bool) and ``None`` with ``ndim == -1``. ``out`` is allocated, not initialised,
and contiguous. A return value other than 0 is an error.

Two further functions are optional:

* ``extern "C" int output_shapes(const km_tensor* in, int n_in, km_tensor* out, int n_out)`` writes
  ``out[i].ndim`` and ``out[i].sizes``; without it a dimension of an output follows the dimensions
  of the arguments that had the same size in the task's default inputs, and a call for which that
  is ambiguous is refused.
* ``extern "C" int strided(void)`` that returns 1: arguments come with the strides that they have.
  Otherwise arguments that are not contiguous are copied first (inside the timed call).
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kernelmill.backends.base import BuildError, BuildSpec, TensorSpec
from kernelmill.backends.state import add_state, state_reader

MAX_DIMS = 8
DTYPES = (
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
    "complex64",
    "complex128",
)

HEADER = f"""\
#ifndef KERNELMILL_H
#define KERNELMILL_H
#include <stdint.h>
#define KM_MAX_DIMS {MAX_DIMS}
enum {{
{chr(10).join(f"    KM_{name.upper()} = {code}," for code, name in enumerate(DTYPES))}
}};
/* sizes and strides count elements; ndim == -1 stands for None */
typedef struct km_tensor {{
    void* data;
    int64_t sizes[KM_MAX_DIMS];
    int64_t strides[KM_MAX_DIMS];
    int32_t ndim;
    int32_t dtype;
}} km_tensor;
static inline int64_t km_numel(const km_tensor* t) {{
    int64_t n = 1;
    for (int32_t i = 0; i < t->ndim; i++) n *= t->sizes[i];
    return n;
}}
#endif
"""

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*["<]kernelmill\.h[">].*$', re.MULTILINE)
_Sizes = ctypes.c_int64 * MAX_DIMS


class KmTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("sizes", _Sizes),
        ("strides", _Sizes),
        ("ndim", ctypes.c_int32),
        ("dtype", ctypes.c_int32),
    ]


def with_header(source: str) -> str:
    """``source`` with the header in place of its include, line numbers kept. A source without
    the include gets the header in front."""
    match = _INCLUDE.search(source)
    if match is None:
        return f'{HEADER}#line 1 "candidate"\n{source}'
    line = source.count("\n", 0, match.start()) + 2
    return (
        f'#line 1 "candidate"\n{source[: match.start()]}{HEADER}#line {line} "candidate"'
        f"{source[match.end() :]}"
    )


def make_model(library: Any, spec: BuildSpec, device: str = "cpu") -> type:
    """A ``ModelNew`` that calls ``library.forward``. Its constructor accepts anything; its state
    has the names, shapes and dtypes of ``spec.state``.

    Raises:
        BuildError: the library exports no ``forward``, or a tensor has too many dimensions.
    """
    import torch

    for tensor in (*spec.state, *spec.inputs, *spec.outputs):
        if len(tensor.shape) > MAX_DIMS:
            raise BuildError(
                f"{tensor.name} has {len(tensor.shape)} dimensions; {MAX_DIMS} at most"
            )
    kernel = _Kernel(library, spec, device)

    class ModelNew(torch.nn.Module):
        def __init__(self, *args: Any, **kwargs: Any):
            super().__init__()
            add_state(self, spec)
            self._read_state = state_reader(self, spec)

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            outputs = kernel([*args, *kwargs.values()], self._read_state())
            if spec.output_structure == "tensor":
                return outputs[0]
            return outputs if spec.output_structure == "list" else tuple(outputs)

    ModelNew.__qualname__ = "ModelNew"
    return ModelNew


class _Kernel:
    """Calls ``forward`` of a library. Descriptions of tensors are kept by shape and copied for
    each call, which then only writes the addresses."""

    def __init__(self, library: Any, spec: BuildSpec, device: str):
        import torch

        self.spec = spec
        self.device = device
        self.function = _function(library, "forward", required=True)
        self.shapes_of = _function(library, "output_shapes")
        strided = getattr(library, "strided", None)
        self.keep_strides = bool(strided is not None and strided())
        self.codes = {getattr(torch, name): code for code, name in enumerate(DTYPES)}
        self.dtypes = [getattr(torch, output.dtype) for output in spec.outputs]
        self.plans: dict[Any, Any] = {}

    def __call__(self, arguments: Sequence[Any], state: Sequence[Any]) -> list[Any]:
        import torch

        inputs = [_as_tensor(value, self.device) for value in _flatten(arguments)]
        tensors = [*inputs, *state]
        if not self.keep_strides:
            tensors = [None if t is None else t.contiguous() for t in tensors]
        key = tuple(None if t is None else (t.shape, t.stride(), t.dtype) for t in tensors)
        if key not in self.plans:
            self.plans[key] = self._plan(tensors, inputs)
        template, sizes, output_template = self.plans[key]
        given = _with_addresses(template, tensors)
        if self.shapes_of is not None:
            sizes = self._ask_shapes(given)
        outputs = [
            torch.empty(size, dtype=dtype, device=self.device)
            for size, dtype in zip(sizes, self.dtypes, strict=True)
        ]
        if self.shapes_of is not None:
            output_template = self._describe(outputs)
        taken = _with_addresses(output_template, outputs)
        code = self.function(given, len(tensors), taken, len(outputs))
        if code != 0:
            raise RuntimeError(f"forward returned {code} (0 means success)")
        return outputs

    def _plan(self, tensors: Sequence[Any], inputs: Sequence[Any]) -> tuple[Any, Any, Any]:
        import torch

        template = self._describe(tensors)
        if self.shapes_of is not None:
            return template, None, None
        shapes = [tuple(t.shape) for t in inputs if t is not None]
        if not self.spec.inputs:  # unknown: the first call has the task's default inputs
            first = tuple(TensorSpec("", shape, "float32") for shape in shapes)
            self.spec = replace(self.spec, inputs=first)
        sizes = infer_shapes(self.spec, shapes)
        empty = [
            torch.empty(size, dtype=dtype, device="meta")
            for size, dtype in zip(sizes, self.dtypes, strict=True)
        ]
        return template, sizes, self._describe(empty)

    def _describe(self, tensors: Sequence[Any]) -> Any:
        slots = (KmTensor * len(tensors))()
        for slot, tensor in zip(slots, tensors, strict=True):
            if tensor is None:
                slot.ndim = -1
                continue
            slot.sizes, slot.strides = _Sizes(*tensor.shape), _Sizes(*tensor.stride())
            slot.ndim, slot.dtype = tensor.dim(), self.codes[tensor.dtype]
        return slots

    def _ask_shapes(self, given: Any) -> list[tuple[int, ...]]:
        wanted = (KmTensor * len(self.spec.outputs))()
        for slot, output in zip(wanted, self.spec.outputs, strict=True):
            slot.ndim, slot.dtype = len(output.shape), DTYPES.index(output.dtype)
            slot.sizes = _Sizes(*output.shape)
        code = self.shapes_of(given, len(given), wanted, len(wanted))
        if code != 0:
            raise RuntimeError(f"output_shapes returned {code} (0 means success)")
        return [tuple(slot.sizes[: slot.ndim]) for slot in wanted]


def _with_addresses(template: Any, tensors: Sequence[Any]) -> Any:
    slots = type(template).from_buffer_copy(template)
    for slot, tensor in zip(slots, tensors, strict=True):
        if tensor is not None:
            slot.data = tensor.data_ptr()
    return slots


def infer_shapes(spec: BuildSpec, shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Shapes of the outputs for inputs of the given shapes, where the task's default inputs have
    those of ``spec.inputs``.

    Raises:
        RuntimeError: a dimension of an output could follow either of two that differ now.

    Example:
        >>> from kernelmill.backends import BuildSpec, TensorSpec
        >>> x, y = TensorSpec("x", (8, 4, 16), "float32"), TensorSpec("y", (8, 16), "float32")
        >>> infer_shapes(BuildSpec(inputs=(x,), outputs=(y,)), [(3, 4, 5)])
        [(3, 5)]
    """
    usual = [tuple(tensor.shape) for tensor in spec.inputs]
    if list(shapes) == usual or not usual:
        return [tuple(output.shape) for output in spec.outputs]
    if [len(s) for s in shapes] != [len(s) for s in usual]:
        raise RuntimeError("other ranks than the task's inputs have: define output_shapes")
    now: dict[int, set[int]] = {}
    for old, new in zip(usual, shapes, strict=True):
        for before, after in zip(old, new, strict=True):
            now.setdefault(before, set()).add(after)
    for tensor in spec.state:
        for size in tensor.shape:
            now.setdefault(size, set()).add(size)
    same = dict(zip(usual, shapes, strict=True))
    return [
        same.get(output.shape) or tuple(_follow(size, now, output) for size in output.shape)
        for output in spec.outputs
    ]


def _follow(size: int, now: dict[int, set[int]], output: Any) -> int:
    choices = now.get(size, {size})
    if len(choices) > 1:
        raise RuntimeError(
            f"{output.name or 'the output'} has a dimension of {size} in the default inputs' case "
            f"that could be any of {sorted(choices)} now: define output_shapes"
        )
    return next(iter(choices))


def _function(library: Any, name: str, required: bool = False) -> Any:
    try:
        function = getattr(library, name)
    except AttributeError:
        if not required:
            return None
        raise BuildError(
            f'the source exports no function {name}; wanted: extern "C" int {name}('
            "const km_tensor* in, int n_in, km_tensor* out, int n_out)"
        ) from None
    pointer = ctypes.POINTER(KmTensor)
    function.argtypes = [pointer, ctypes.c_int, pointer, ctypes.c_int]
    function.restype = ctypes.c_int
    return function


def _flatten(values: Sequence[Any]) -> list[Any]:
    flat: list[Any] = []
    for value in values:
        if isinstance(value, (list, tuple)):
            flat.extend(_flatten(value))
        elif isinstance(value, dict):
            flat.extend(_flatten(list(value.values())))
        else:
            flat.append(value)
    return flat


def _as_tensor(value: Any, device: str) -> Any:
    import torch

    if value is None or isinstance(value, torch.Tensor):
        return value
    if isinstance(value, float):  # torch.tensor would make it float32
        return torch.tensor(value, dtype=torch.float64, device=device)
    if isinstance(value, (bool, int)):
        return torch.tensor(value, device=device)
    raise TypeError(f"a C kernel takes tensors, numbers and None, got {type(value).__name__}")
