"""ATen operators to primitives: softmax and the normalisations."""

from __future__ import annotations

import math

from kernelmill.search.codegen.ir import Prim, Unsupported
from kernelmill.search.codegen.lower import lowers


def _wide(dtype: str) -> str:
    return "f32" if dtype in ("bf16", "f16") else dtype


@lowers("aten._softmax.default")
def softmax(c, x, dim, half_to_float=False):
    b, t = c.b, _wide(c.dtype)
    if not x.shape:
        x = b.reshape(x, (1,))
    top = b.reduce("max", b.cast(x, t), [dim], True)
    e = b.pw("exp", b.pw("sub", x, top, compute=t))
    scale = b.pw("reciprocal", b.reduce("sum", e, [dim], True))
    return b.reshape(b.cast(b.pw("mul", e, scale), c.dtype), c.shapes[0])


@lowers("aten._log_softmax.default")
def log_softmax(c, x, dim, half_to_float=False):
    b, t = c.b, _wide(c.dtype)
    if not x.shape:
        x = b.reshape(x, (1,))
    shifted = b.pw("sub", x, b.reduce("max", b.cast(x, t), [dim], True), compute=t)
    total = b.reduce("sum", b.pw("exp", shifted), [dim], True)
    return b.reshape(b.cast(b.pw("sub", shifted, b.pw("log", total)), c.dtype), c.shapes[0])


def moments(c, x: Prim, dims, correction: float = 0.0) -> tuple[Prim, Prim, Prim]:
    """Mean, variance (both with kept dims) and ``x - mean``: two passes, which is as exact as
    float32 can be for data far from zero."""
    b = c.b
    dims = [d % len(x.shape) for d in dims]
    count = math.prod(x.shape[d] for d in dims)
    mean = b.reduce("mean", x, dims, True)
    centred = b.pw("sub", x, mean)
    total = b.reduce("sum", b.pw("mul", centred, centred), dims, True)
    return mean, b.pw("div", total, float(max(count - correction, 0))), centred


@lowers("aten.var_mean.correction")
def var_mean(c, x, dim=None, correction=None, keepdim=False):
    variance = var(c, x, dim, correction, keepdim)
    dims = list(range(len(x.shape))) if not dim else dim
    mean = c.b.reshape(c.b.cast(c.b.reduce("mean", x, dims, True), c.dtype), c.shapes[1])
    # torch's running update makes the mean NaN wherever the variance is
    return variance, c.b.where(c.b.pw("ne", variance, variance, dtype="bool"), variance, mean)


@lowers("aten.var.correction")
def var(c, x, dim=None, correction=None, keepdim=False):
    dims = list(range(len(x.shape))) if not dim else dim
    # float64, as torch does: without an eps the square of a tiny deviation must not vanish
    value = moments(c, c.b.cast(x, "f64"), dims, 1 if correction is None else correction)[1]
    return c.b.reshape(c.b.cast(value, c.dtype), c.shapes[0])


@lowers("aten.std.correction", "aten.std.dim", "aten.std.default")
def std(c, x, dim=None, correction=None, keepdim=False, unbiased=True):
    # aten.std.dim and .default carry ``unbiased`` in place of ``correction``
    if isinstance(dim, bool) or isinstance(correction, bool):
        raise Unsupported("std by the old signature")
    dims = list(range(len(x.shape))) if not dim else dim
    correction = 1 if correction is None else correction
    value = moments(c, c.b.cast(x, "f64"), dims, correction)[1]
    return c.b.reshape(c.b.cast(c.b.pw("sqrt", value), c.dtype), c.shapes[0])


def _affine(c, x, weight, bias, shape):
    if weight is not None:
        x = c.b.pw("mul", x, c.b.reshape(weight, shape), compute=x.dtype)
    if bias is not None:
        x = c.b.pw("add", x, c.b.reshape(bias, shape), compute=x.dtype)
    return x


def _rsqrt(c, variance, eps):
    return c.b.pw("rsqrt", c.b.pw("add", variance, eps))


@lowers("aten.native_layer_norm.default")
def layer_norm(c, x, shape, weight, bias, eps):
    b = c.b
    rank = len(x.shape)
    dims = list(range(rank - len(shape), rank))
    mean, variance, centred = moments(c, b.cast(x, _wide(x.dtype)), dims)
    scale = _rsqrt(c, variance, eps)
    y = _affine(c, b.pw("mul", centred, scale), weight, bias, tuple(shape))
    return b.cast(y, c.dtype), b.cast(mean, c.dtypes[1]), b.cast(scale, c.dtypes[2])


@lowers("aten.native_group_norm.default")
def group_norm(c, x, weight, bias, batch, channels, spatial, groups, eps):
    b = c.b
    per = channels // groups
    wide = b.cast(b.reshape(x, (batch, groups, per, spatial)), _wide(x.dtype))
    mean, variance, centred = moments(c, wide, [2, 3])
    scale = _rsqrt(c, variance, eps)
    y = _affine(c, b.pw("mul", centred, scale), weight, bias, (1, groups, per, 1))
    flat = (batch, groups)
    return (
        b.reshape(b.cast(y, c.dtype), c.shapes[0]),
        b.reshape(b.cast(mean, c.dtypes[1]), flat),
        b.reshape(b.cast(scale, c.dtypes[2]), flat),
    )


def _channels(x: Prim) -> tuple[int, ...]:
    return (1, x.shape[1]) + (1,) * (len(x.shape) - 2)


def _batch_stats(c, x, eps):
    dims = [d for d in range(len(x.shape)) if d != 1]
    wide = c.b.cast(x, _wide(x.dtype))
    mean, variance, centred = moments(c, wide, dims)
    return mean, variance, centred, _rsqrt(c, variance, eps), math.prod(x.shape) // x.shape[1]


@lowers("aten._native_batch_norm_legit_functional.default")
def batch_norm_train(c, x, weight, bias, running_mean, running_var, training, momentum, eps):
    b = c.b
    if not training:
        y = batch_norm_eval(c, x, weight, bias, running_mean, running_var, momentum, eps)[0]
        return y, None, None, running_mean, running_var
    mean, variance, centred, scale, count = _batch_stats(c, x, eps)
    y = _affine(c, b.pw("mul", centred, scale), weight, bias, _channels(x))
    flat = (x.shape[1],)
    unbiased = b.pw("mul", variance, count / max(count - 1, 1))

    def blend(old, new):
        kept = b.pw("mul", old, 1 - momentum)
        return b.pw("add", kept, b.pw("mul", b.reshape(new, flat), momentum), compute=old.dtype)

    return (
        b.cast(y, c.dtype),
        b.reshape(mean, flat),
        b.reshape(scale, flat),
        blend(running_mean, mean),
        blend(running_var, unbiased),
    )


@lowers("aten._native_batch_norm_legit.no_stats")
def batch_norm_no_stats(c, x, weight, bias, training, momentum, eps):
    b = c.b
    mean, _, centred, scale, _ = _batch_stats(c, x, eps)
    y = _affine(c, b.pw("mul", centred, scale), weight, bias, _channels(x))
    flat = (x.shape[1],)
    return b.cast(y, c.dtype), b.reshape(mean, flat), b.reshape(scale, flat)


@lowers("aten._native_batch_norm_legit_no_training.default")
def batch_norm_eval(c, x, weight, bias, running_mean, running_var, momentum, eps):
    b = c.b
    shape = _channels(x)
    t = _wide(x.dtype)
    mean = b.reshape(b.cast(running_mean, t), shape)
    scale = _rsqrt(c, b.reshape(b.cast(running_var, t), shape), eps)
    y = _affine(c, b.pw("mul", b.pw("sub", x, mean, compute=t), scale), weight, bias, shape)
    return b.cast(y, c.dtype), None, None
