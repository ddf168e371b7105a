"""ATen operators to primitives: views, constants, reductions, scans, windows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kernelmill.search.codegen.ir import FLOATS, Prim, Unsupported
from kernelmill.search.codegen.lower import lowers


@lowers("aten.view.default", "aten._unsafe_view.default", "aten.reshape.default")
def view(c, x, shape):
    return c.b.reshape(x, c.shapes[0])


@lowers("aten.unsqueeze.default", "aten.squeeze.dims", "aten.squeeze.dim", "aten.squeeze.default")
def squeeze(c, x, dim=None):
    return c.b.reshape(x, c.shapes[0])


@lowers("aten.permute.default")
def permute(c, x, dims):
    return c.b.permute(x, dims)


@lowers("aten.transpose.int")
def transpose(c, x, a, b):
    perm = list(range(len(x.shape)))
    perm[a], perm[b] = perm[b], perm[a]
    return c.b.permute(x, perm)


@lowers("aten.t.default")
def transpose_matrix(c, x):
    return c.b.permute(x, (1, 0)) if len(x.shape) == 2 else x


@lowers("aten.expand.default")
def expand(c, x, shape, implicit=False):
    return c.b.expand(x, c.shapes[0])


@lowers("aten.slice.Tensor")
def slice_(c, x, dim=0, start=None, end=None, step=1):
    size = x.shape[dim]
    start = 0 if start is None else max(0, start + size if start < 0 else start)
    return c.b.slice(x, dim, min(start, size), c.shapes[0][dim], step)


@lowers("aten.select.int")
def select(c, x, dim, index):
    one = c.b.slice(x, dim, index % x.shape[dim], 1)
    return c.b.reshape(one, c.shapes[0])


@lowers("aten.split_with_sizes.default")
def split(c, x, sizes, dim=0):
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return tuple(c.b.slice(x, dim, s, n) for s, n in zip(starts, sizes, strict=True))


@lowers("aten.split.Tensor")
def split_even(c, x, size, dim=0):
    sizes = [min(size, x.shape[dim] - s) for s in range(0, x.shape[dim], size)]
    return split(c, x, sizes, dim)


@lowers("aten.unbind.int")
def unbind(c, x, dim=0):
    rest = [n for d, n in enumerate(x.shape) if d != dim % len(x.shape)]
    return tuple(c.b.reshape(c.b.slice(x, dim, i, 1), rest) for i in range(x.shape[dim]))


@lowers("aten.flip.default")
def flip(c, x, dims):
    for dim in dims:
        size = x.shape[dim]
        if size > 1:
            x = c.b.slice(x, dim, size - 1, size, -1)
    return x


@lowers("aten.full.default", "aten.full_like.default", "aten.new_full.default")
def full(c, first, *args, **kwargs):
    return c.b.full(c.shapes[0], kwargs.get("fill_value", args[-1] if args else 0), c.dtype)


@lowers("aten.scalar_tensor.default")
def scalar_tensor(c, value, **kwargs):
    return c.b.const(value, c.dtype)


@lowers("aten.zeros_like.default", "aten.zeros.default", "aten.new_zeros.default")
def zeros(c, *args, **kwargs):
    return c.b.full(c.shapes[0], 0, c.dtype)


@lowers("aten.ones_like.default", "aten.ones.default", "aten.new_ones.default")
def ones(c, *args, **kwargs):
    return c.b.full(c.shapes[0], 1, c.dtype)


@lowers("aten.arange.start_step")
def arange(c, start, end, step=1, **kwargs):
    index = c.b.make("iota", (), c.shapes[0], "i64", dim=0)
    if c.dtype not in FLOATS:
        scaled = index if step == 1 else c.b.pw("mul", index, int(step))
        return c.b.cast(scaled if start == 0 else c.b.pw("add", scaled, int(start)), c.dtype)
    index = c.b.cast(index, c.dtype)
    return c.pw("add", c.pw("mul", index, step), start)


def _dims(x: Prim, dims) -> list[int]:
    if dims is None or (isinstance(dims, Sequence) and not dims):
        return list(range(len(x.shape)))
    return [d % max(len(x.shape), 1) for d in ([dims] if isinstance(dims, int) else dims)]


@lowers("aten.sum.dim_IntList", "aten.sum.default")
def sum_(c, x, dims=None, keepdim=False, dtype=None):
    return c.b.reduce("sum", c.b.cast(x, c.dtype), _dims(x, dims), keepdim)


@lowers("aten.mean.dim", "aten.mean.default")
def mean(c, x, dims=None, keepdim=False, dtype=None):
    dims = _dims(x, dims)
    wide = "f32" if c.dtype in ("bf16", "f16") else c.dtype
    return c.b.cast(c.b.reduce("mean", c.b.cast(x, wide), dims, keepdim), c.dtype)


@lowers("aten.prod.default")
def prod(c, x, dtype=None):
    return c.b.reduce("prod", c.b.cast(x, c.dtype), _dims(x, None))


@lowers("aten.prod.dim_int")
def prod_dim(c, x, dim, keepdim=False, dtype=None):
    return c.b.reduce("prod", c.b.cast(x, c.dtype), _dims(x, dim), keepdim)


@lowers("aten.amax.default")
def amax(c, x, dims=None, keepdim=False):
    return c.b.reduce("max", x, _dims(x, dims), keepdim)


@lowers("aten.amin.default")
def amin(c, x, dims=None, keepdim=False):
    return c.b.reduce("min", x, _dims(x, dims), keepdim)


@lowers("aten.max.default")
def max_all(c, x):
    return c.b.reduce("max", x, _dims(x, None))


@lowers("aten.min.default")
def min_all(c, x):
    return c.b.reduce("min", x, _dims(x, None))


@lowers("aten.max.dim")
def max_dim(c, x, dim, keepdim=False):
    return c.b.reduce("max", x, [dim], keepdim), c.b.reduce("argmax", x, [dim], keepdim)


@lowers("aten.min.dim")
def min_dim(c, x, dim, keepdim=False):
    return c.b.reduce("min", x, [dim], keepdim), c.b.reduce("argmin", x, [dim], keepdim)


def _arg(c, op, x, dim, keepdim):
    if dim is None:
        return c.b.reshape(c.b.reduce(op, c.b.reshape(x, (x.numel,)), [0]), c.shapes[0])
    return c.b.reduce(op, x, [dim], keepdim)


@lowers("aten.argmax.default")
def argmax(c, x, dim=None, keepdim=False):
    return _arg(c, "argmax", x, dim, keepdim)


@lowers("aten.argmin.default")
def argmin(c, x, dim=None, keepdim=False):
    return _arg(c, "argmin", x, dim, keepdim)


@lowers("aten.any.default", "aten.any.dim", "aten.any.dims")
def any_(c, x, dim=None, keepdim=False):
    return c.b.reduce("any", c.b.cast(x, "bool"), _dims(x, dim), keepdim)


@lowers("aten.all.default", "aten.all.dim", "aten.all.dims")
def all_(c, x, dim=None, keepdim=False):
    return c.b.reduce("all", c.b.cast(x, "bool"), _dims(x, dim), keepdim)


@lowers("aten.linalg_vector_norm.default")
def vector_norm(c, x, order=2, dims=None, keepdim=False, dtype=None):
    dims = _dims(x, dims)
    x = c.b.cast(x, c.dtype)
    size = c.pw("abs", x)
    if order == 2:
        return c.pw("sqrt", c.b.reduce("sum", c.pw("mul", x, x), dims, keepdim))
    if order == 1:
        return c.b.reduce("sum", size, dims, keepdim)
    if order in (math.inf, -math.inf):
        return c.b.reduce("max" if order > 0 else "min", size, dims, keepdim)
    if order == 0:
        nonzero = c.b.cast(c.b.pw("ne", x, 0, dtype="bool"), c.dtype)
        return c.b.reduce("sum", nonzero, dims, keepdim)
    total = c.b.reduce("sum", c.pw("pow", size, order), dims, keepdim)
    return c.pw("pow", total, 1.0 / order)


@lowers("aten.cumsum.default")
def cumsum(c, x, dim, dtype=None):
    return c.b.scan("sum", c.b.cast(x, c.dtype), dim)


@lowers("aten.cumprod.default")
def cumprod(c, x, dim, dtype=None):
    return c.b.scan("prod", c.b.cast(x, c.dtype), dim)


@lowers("aten.gather.default")
def gather(c, x, dim, index, sparse_grad=False):
    rank = len(x.shape)
    if not rank or any(d != dim % rank and x.shape[d] != index.shape[d] for d in range(rank)):
        raise Unsupported("gather over part of the other dimensions")
    return c.b.make("gather", (x, index), index.shape, x.dtype, dim=dim % rank)


def _tuple(value, rank: int) -> tuple[int, ...]:
    value = [value] if isinstance(value, int) else list(value)
    return tuple(value * rank if len(value) == 1 else value)


def _window(c, x, op, kernel, stride, padding, dilation, **attrs):
    if x.dtype not in ("f32", "f64", "bf16", "f16"):
        raise Unsupported(f"{op} pooling of {x.dtype}")
    return c.b.make(
        "window",
        (x,),
        c.shapes[0],
        x.dtype,
        op=op,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        **attrs,
    )


@lowers("aten.conv1d.default", "aten.conv2d.default")
def depthwise(c, x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    rank = len(weight.shape) - 2
    channels = x.shape[1] if len(x.shape) == rank + 2 else 0
    if not c.own_depthwise or groups < 2 or not channels == groups == weight.shape[0]:
        raise Unsupported("not a depthwise convolution")
    if x.dtype != "f32" or math.prod(weight.shape[2:]) > 256 or isinstance(padding, str):
        raise Unsupported("a depthwise convolution that torch does better")
    taps, steps = tuple(weight.shape[2:]), _tuple(stride, rank)
    rest = {"padding": _tuple(padding, rank), "dilation": _tuple(dilation, rank)}
    args = (x, weight) if bias is None else (x, weight, bias)
    return c.b.make(
        "window", args, c.shapes[0], x.dtype, op="conv", kernel=taps, stride=steps, **rest
    )


@lowers("aten.logcumsumexp.default")
def logcumsumexp(c, x, dim):
    if c.dtype != "f32" or len(x.shape) < 2 or dim % len(x.shape) == len(x.shape) - 1:
        raise Unsupported("logcumsumexp along rows")
    return c.b.scan("logsumexp", x, dim)


@lowers("aten.max_pool2d_with_indices.default", "aten.max_pool3d_with_indices.default")
def max_pool(c, x, kernel, stride=(), padding=0, dilation=1, ceil_mode=False):
    if 1 in c.used:
        raise Unsupported("indices of a pooling")
    rank = len(kernel)
    kernel = _tuple(kernel, rank)
    stride = _tuple(stride, rank) if stride else kernel
    pooled = _window(c, x, "max", kernel, stride, _tuple(padding, rank), _tuple(dilation, rank))
    return pooled, None


@lowers("aten.avg_pool2d.default", "aten.avg_pool3d.default")
def avg_pool(
    c, x, kernel, stride=(), padding=0, ceil_mode=False, count_include_pad=True, divisor=None
):
    rank = len(kernel)
    kernel = _tuple(kernel, rank)
    stride = _tuple(stride, rank) if stride else kernel
    padding = _tuple(padding, rank)
    return _window(
        c, x, "avg", kernel, stride, padding, (1,) * rank, pad=count_include_pad, divisor=divisor
    )


def _even(c, x, size):
    sizes = x.shape[len(x.shape) - len(size) :]
    if any(n % s for n, s in zip(sizes, size, strict=True)):
        raise Unsupported("adaptive pooling with uneven windows")
    return tuple(n // s for n, s in zip(sizes, size, strict=True))


@lowers("aten._adaptive_avg_pool2d.default", "aten._adaptive_avg_pool3d.default")
def adaptive_avg_pool(c, x, size):
    rank = len(size)
    if all(s == 1 for s in size):
        return mean(c, x, list(range(-rank, 0)), True)
    kernel = _even(c, x, size)
    rest = {"padding": (0,) * rank, "dilation": (1,) * rank}
    return _window(c, x, "avg", kernel, kernel, **rest, pad=True, divisor=None)


@lowers("aten.adaptive_max_pool2d.default", "aten.adaptive_max_pool3d.default")
def adaptive_max_pool(c, x, size):
    if 1 in c.used:
        raise Unsupported("indices of a pooling")
    rank = len(size)
    if all(s == 1 for s in size):
        return c.b.reduce("max", x, list(range(-rank, 0)), True), None
    kernel = _even(c, x, size)
    return _window(c, x, "max", kernel, kernel, (0,) * rank, (1,) * rank), None
