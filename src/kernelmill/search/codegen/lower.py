"""ATen operators to primitives: the registry and the element-wise part of the table."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kernelmill.search.codegen.ir import Builder, Prim, Unsupported

# name -> function(lowering, *args, **kwargs) -> Prim or tuple of Prims
TABLE: dict[str, Callable[..., Any]] = {}


class Lowering:
    """What a lowering function may use: the builder and the node's own result types."""

    def __init__(self, builder: Builder, dtypes: list[str], shapes: list[tuple[int, ...]], used):
        self.b = builder
        self.dtypes = dtypes
        self.shapes = shapes
        self.used: set[int] = used
        self.joint: str | None = None
        self.own_depthwise = True

    @property
    def dtype(self) -> str:
        return self.dtypes[0]

    def pw(self, op: str, *args: Any) -> Prim:
        return self.b.pw(op, *args, compute=self.dtype)


def lowers(*names: str):
    def register(function):
        for name in names:
            TABLE[name] = function
        return function

    return register


def _unary(op: str):
    def lower(c: Lowering, x: Prim) -> Prim:
        return c.pw(op, x)

    return lower


for _name in (
    "neg abs exp log log2 log10 log1p expm1 sqrt rsqrt sin cos tan tanh sigmoid erf erfc floor "
    "ceil round trunc asin acos atan sinh cosh relu sign reciprocal exp2"
).split():
    TABLE[f"aten.{_name}.default"] = _unary(_name)


@lowers("aten.silu.default")
def silu(c, x):
    return c.pw("mul", x, c.pw("sigmoid", x))


@lowers("aten.gelu.default")
def gelu(c, x, approximate="none"):
    if approximate == "tanh":
        cube = c.pw("mul", c.pw("mul", x, x), x)
        inner = c.pw("mul", c.pw("add", x, c.pw("mul", cube, 0.044715)), math.sqrt(2 / math.pi))
        return c.pw("mul", c.pw("mul", x, 0.5), c.pw("add", c.pw("tanh", inner), 1.0))
    half = c.pw("mul", x, 0.5)
    return c.pw("mul", half, c.pw("add", c.pw("erf", c.pw("mul", x, math.sqrt(0.5))), 1.0))


@lowers("aten.hardtanh.default")
def hardtanh(c, x, low=-1.0, high=1.0):
    return clamp(c, x, low, high)


@lowers("aten.clamp.default", "aten.clamp.Tensor")
def clamp(c, x, low=None, high=None, **names):
    low, high = names.get("min", low), names.get("max", high)
    if low is not None:
        x = c.pw("maximum", x, low)
    if high is not None:
        x = c.pw("minimum", x, high)
    return x


@lowers("aten.clamp_min.default", "aten.clamp_min.Tensor", "aten.maximum.default")
def maximum(c, x, y):
    return c.pw("maximum", x, y)


@lowers("aten.clamp_max.default", "aten.clamp_max.Tensor", "aten.minimum.default")
def minimum(c, x, y):
    return c.pw("minimum", x, y)


@lowers("aten.leaky_relu.default")
def leaky_relu(c, x, slope=0.01):
    return c.b.where(_compare(c, "gt", x, 0), x, c.pw("mul", x, slope), dtype=c.dtype)


@lowers("aten.elu.default")
def elu(c, x, alpha=1.0, scale=1.0, input_scale=1.0):
    tail = c.pw("mul", c.pw("expm1", c.pw("mul", x, input_scale)), alpha * scale)
    return c.b.where(_compare(c, "gt", x, 0), c.pw("mul", x, scale), tail, dtype=c.dtype)


@lowers("aten.softplus.default")
def softplus(c, x, beta=1.0, threshold=20.0):
    scaled = c.pw("mul", x, beta)
    soft = c.pw("div", c.pw("log1p", c.pw("exp", scaled)), beta)
    return c.b.where(_compare(c, "gt", scaled, threshold), x, soft, dtype=c.dtype)


@lowers("aten.hardswish.default")
def hardswish(c, x):
    return c.pw("div", c.pw("mul", x, clamp(c, c.pw("add", x, 3.0), 0.0, 6.0)), 6.0)


@lowers("aten.hardsigmoid.default")
def hardsigmoid(c, x):
    return c.pw("div", clamp(c, c.pw("add", x, 3.0), 0.0, 6.0), 6.0)


@lowers("aten.add.Tensor", "aten.add.Scalar")
def add(c, x, y, alpha=1):
    if c.dtype == "bool":
        return c.pw("or", x, y)
    if alpha != 1:
        y = c.pw("mul", y, alpha) if isinstance(y, Prim) else y * alpha
    return c.pw("add", x, y)


@lowers("aten.sub.Tensor", "aten.sub.Scalar")
def sub(c, x, y, alpha=1):
    if alpha != 1:
        y = c.pw("mul", y, alpha) if isinstance(y, Prim) else y * alpha
    return c.pw("sub", x, y)


@lowers("aten.rsub.Scalar", "aten.rsub.Tensor")
def rsub(c, x, y, alpha=1):
    return c.pw("sub", y, c.pw("mul", x, alpha) if alpha != 1 else x)


@lowers("aten.mul.Tensor", "aten.mul.Scalar")
def mul(c, x, y):
    return c.pw("and" if c.dtype == "bool" else "mul", x, y)


@lowers("aten.div.Tensor", "aten.div.Scalar")
def div(c, x, y):
    return c.pw("div", x, y)


@lowers("aten.div.Tensor_mode", "aten.div.Scalar_mode")
def div_mode(c, x, y, rounding_mode=None):
    if rounding_mode is not None and c.dtype not in ("f32", "f64"):
        raise Unsupported("integer division")
    quotient = c.pw("div", x, y)
    return quotient if rounding_mode is None else c.pw(rounding_mode, quotient)


@lowers("aten.addcmul.default")
def addcmul(c, x, a, b, value=1):
    product = c.pw("mul", a, b)
    return c.pw("add", x, product if value == 1 else c.pw("mul", product, value))


@lowers("aten.addcdiv.default")
def addcdiv(c, x, a, b, value=1):
    quotient = c.pw("div", a, b)
    return c.pw("add", x, quotient if value == 1 else c.pw("mul", quotient, value))


@lowers("aten.pow.Tensor_Scalar")
def pow_scalar(c, x, exponent):
    if c.dtype not in ("f32", "f64", "bf16", "f16"):
        if exponent == 2:
            return c.pw("mul", x, x)
        raise Unsupported("integer power")
    simple = {
        1: lambda: c.b.cast(x, c.dtype),
        2: lambda: c.pw("mul", x, x),
        3: lambda: c.pw("mul", c.pw("mul", x, x), x),
        0.5: lambda: c.pw("sqrt", x),
        -0.5: lambda: c.pw("rsqrt", x),
        -1: lambda: c.pw("reciprocal", x),
        -2: lambda: c.pw("reciprocal", c.pw("mul", x, x)),
    }
    if exponent in simple:
        return simple[exponent]()
    return c.pw("pow", x, exponent)


@lowers("aten.pow.Tensor_Tensor", "aten.pow.Scalar")
def pow_tensor(c, x, exponent):
    if c.dtype not in ("f32", "f64", "bf16", "f16"):
        raise Unsupported("integer power")
    return c.pw("pow", x, exponent)


@lowers("aten.atan2.default")
def atan2(c, x, y):
    return c.pw("atan2", x, y)


@lowers("aten.fmod.Scalar", "aten.fmod.Tensor")
def fmod(c, x, y):
    if c.dtype not in ("f32", "f64"):
        raise Unsupported("integer fmod")
    return c.pw("fmod", x, y)


def _compare(c: Lowering, op: str, x: Any, y: Any) -> Prim:
    if isinstance(y, Prim) or c.joint:
        return c.b.pw(op, x, y, dtype="bool", compute=c.joint)
    dtype = x.dtype
    if isinstance(y, float) and dtype not in ("f64", "f32", "bf16", "f16"):
        dtype = "f32"
    if isinstance(y, int) and dtype == "bool":
        dtype = "i64"
    return c.b.pw(op, x, y, dtype="bool", compute=dtype)


for _op in ("eq", "ne", "lt", "le", "gt", "ge"):
    TABLE[f"aten.{_op}.Scalar"] = TABLE[f"aten.{_op}.Tensor"] = lambda c, x, y, op=_op: _compare(
        c, op, x, y
    )


@lowers("aten.where.self", "aten.where.ScalarOther", "aten.where.ScalarSelf", "aten.where.Scalar")
def where(c, condition, x, y):
    return c.b.where(condition, x, y, dtype=c.dtype)


@lowers("aten.masked_fill.Scalar", "aten.masked_fill.Tensor")
def masked_fill(c, x, mask, value):
    return c.b.where(mask, value, x, dtype=c.dtype)


@lowers("aten.logical_not.default")
def logical_not(c, x):
    return c.b.pw("not", x, compute="bool")


for _op in ("and", "or", "xor"):
    TABLE[f"aten.logical_{_op}.default"] = lambda c, x, y, op=_op: c.b.pw(op, x, y, compute="bool")
    TABLE[f"aten.bitwise_{_op}.Tensor"] = TABLE[f"aten.bitwise_{_op}.Scalar"] = (
        lambda c, x, y, op=_op: c.pw(op, x, y)
    )


@lowers("aten.bitwise_not.default")
def bitwise_not(c, x):
    return c.pw("not" if c.dtype == "bool" else "invert", x)


@lowers("aten.isnan.default")
def isnan(c, x):
    return c.b.pw("ne", x, x, dtype="bool")


@lowers("aten.isinf.default")
def isinf(c, x):
    return c.b.pw("eq", c.b.pw("abs", x), math.inf, dtype="bool")


@lowers("aten._to_copy.default")
def to_copy(c, x, **kwargs):
    return c.b.cast(x, c.dtype)


@lowers(
    "aten.clone.default",
    "aten.alias.default",
    "aten.detach.default",
    "aten.lift_fresh_copy.default",
    "aten.contiguous.default",
)
def identity(c, x, **kwargs):
    return x


@lowers("aten.copy.default")
def copy(c, x, source, non_blocking=False):
    return c.b.expand(c.b.cast(source, x.dtype), x.shape)


@lowers("aten.native_dropout.default")
def native_dropout(c, x, p, train):
    if train and p:
        raise Unsupported("dropout draws from torch's generator")
    return x, None
