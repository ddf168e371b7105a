"""Torch operators that stay: their text, and the better one of two that torch has."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kernelmill.search.codegen.ir import Call, Prim

# Below this the reordering of the weights costs more than it saves.
WORTH_ONEDNN = 8e6
HELPERS = '''

def _km_linear(x, w, b=None):
    """torch's linear goes to MKL, which leaves half the vector width of other makers' processors
    unused; oneDNN does not."""
    return _torch.ops.mkldnn._linear_pointwise(x, w, b, "none", [], "")


def _km_conv(x, w, b, stride, padding, dilation):
    return _torch.ops.mkldnn._convolution_pointwise(
        x, w, b, padding, stride, dilation, 1, "none", [], ""
    )
'''


def onednn() -> bool:
    """Does this torch have the operators that `HELPERS` calls?"""
    import torch

    wanted = ("_linear_pointwise", "_convolution_pointwise")
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in wanted
    )


def text(call: Call, structure: Callable[[Any], str], use_onednn: bool, channels_last: bool) -> str:
    """The Python expression of a call."""
    better = _onednn(call, structure, channels_last) if use_onednn else None
    if better is not None:
        return better
    args = [structure(a) for a in call.args]
    args += [f"{k}={structure(v)}" for k, v in call.kwargs.items()]
    return f"_torch.ops.{call.target}({', '.join(args)})"


def _onednn(call: Call, structure: Callable[[Any], str], channels_last: bool) -> str | None:
    if call.kwargs or any(p.dtype != "f32" for p in call.inputs):
        return None
    args = call.args
    out = call.outputs[0]
    if out is None:
        return None
    if call.target == "aten.linear.default" and len(args[1].shape) == 2:
        if 2 * out.numel * args[1].shape[1] < WORTH_ONEDNN or len(args[0].shape) < 2:
            return None
        return f"_km_linear({', '.join(structure(a) for a in args)})"
    if call.target in ("aten.mm.default", "aten.matmul.default"):
        a, b = args
        if len(b.shape) != 2 or len(a.shape) < 2 or 2 * out.numel * b.shape[0] < WORTH_ONEDNN:
            return None
        return f"_km_linear({structure(a)}, {structure(b)}.t())"
    if call.target == "aten.conv2d.default" and channels_last:
        # in the usual layout oneDNN reorders the input and the result
        return _convolution(args, out, structure)
    return None


def _convolution(args: tuple, out: Prim, structure: Callable[[Any], str]) -> str | None:
    defaults = (None, None, None, [1, 1], [0, 0], [1, 1], 1)
    x, w, b, stride, padding, dilation, groups = (*args, *defaults[len(args) :])
    rank = len(w.shape) - 2
    if groups != 1 or len(x.shape) != rank + 2 or isinstance(padding, str):
        return None
    if 2 * out.numel * math.prod(w.shape[1:]) < WORTH_ONEDNN:
        return None
    lists = [structure(_full(v, rank)) for v in (stride, padding, dilation)]
    return f"_km_conv({structure(x)}, {structure(w)}, {structure(b)}, {', '.join(lists)})"


def _full(value: Any, rank: int) -> list[int]:
    value = [value] if isinstance(value, int) else list(value)
    return value * rank if len(value) == 1 else value
