"""A kernel as Triton text: element-wise work by blocks, row reductions one row per program."""

from __future__ import annotations

import math

from kernelmill.search.codegen.axes import Axis
from kernelmill.search.codegen.fuse import Kernel
from kernelmill.search.codegen.ir import FLOATS, INTS, Prim, Unsupported
from kernelmill.search.codegen.nest import is_computed
from kernelmill.search.codegen.plan import Plan
from kernelmill.search.codegen.schedule import Schedule

BLOCK = 1024
TYPES = {
    "f64": "tl.float64",
    "f32": "tl.float32",
    "bf16": "tl.float32",
    "f16": "tl.float32",
    "i64": "tl.int64",
    "i32": "tl.int32",
    "i16": "tl.int16",
    "i8": "tl.int8",
    "u8": "tl.uint8",
    "bool": "tl.int1",
}
HELPERS = """
import triton as _triton
import triton.language as tl


@_triton.jit
def _km_max(a, b):
    return tl.where((a > b) | (a != a), a, b)


@_triton.jit
def _km_min(a, b):
    return tl.where((a < b) | (a != a), a, b)


@_triton.jit
def _km_expm1(x):
    p = 0.000199448744416
    p = p * x + 0.00139821860463
    p = p * x + 0.00833323613352
    p = p * x + 0.04166579123
    p = p * x + 0.166666668017
    p = p * x + 0.500000012161
    return tl.where(tl.abs(x) < 0.5, p * x * x + x, tl.exp(x) - 1.0)


@_triton.jit
def _km_log1p(x):
    u = 1.0 + x
    z = tl.log(u) + (x - (u - 1.0)) / u
    z = tl.where(u == float("inf"), u, z)
    return tl.where(tl.abs(x) < 1e-4, x - 0.5 * x * x, tl.where(x <= -1.0, tl.log(u), z))


@_triton.jit
def _km_tanh(x):
    s = x * x
    p = 0.0022149027425
    p = p * s - 0.00827245673259
    p = p * s + 0.0217461870891
    p = p * s - 0.0539563493968
    p = p * s + 0.133332907458
    p = p * s - 0.33333333084
    big = 1.0 - 2.0 / (tl.exp(2.0 * tl.abs(x)) + 1.0)
    return tl.where(tl.abs(x) < 0.65, p * s * x + x, tl.where(x < 0, -big, big))


@_triton.jit
def _km_pow(x, y):
    a = tl.abs(x).to(tl.float64)
    r = tl.exp2(tl.log2(a) * y).to(tl.float32)
    whole = tl.floor(y) == y
    even = tl.floor(y * 0.5) == y * 0.5
    sign = tl.where(even, 1.0, -1.0)
    r = tl.where(x < 0, tl.where(whole, sign * r, float("nan")), r)
    return tl.where((y == 0.0) | (x == 1.0), 1.0, r)


@_triton.jit
def _km_top(x, mask):
    m = tl.max(tl.where(mask, x, float("-inf")), 0)
    bad = tl.max(tl.where(mask, (x != x).to(tl.int32), 0), 0)
    return tl.where(bad > 0, float("nan"), m)


@_triton.jit
def _km_bottom(x, mask):
    m = tl.min(tl.where(mask, x, float("inf")), 0)
    bad = tl.max(tl.where(mask, (x != x).to(tl.int32), 0), 0)
    return tl.where(bad > 0, float("nan"), m)
"""
_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_BITS = {"and": "&", "or": "|", "xor": "^"}
_CALLS = {
    "exp": "tl.exp({0})",
    "exp2": "tl.exp2({0})",
    "expm1": "_km_expm1({0})",
    "log": "tl.log({0})",
    "log2": "tl.log2({0})",
    "log10": "(tl.log2({0}) * 0.30102999566398120)",
    "log1p": "_km_log1p({0})",
    "tanh": "_km_tanh({0})",
    "sigmoid": "(1.0 / (1.0 + tl.exp(-{0})))",
    "erf": "tl.erf({0})",
    "sqrt": "tl.sqrt({0})",
    "rsqrt": "(1.0 / tl.sqrt({0}))",
    "reciprocal": "(1.0 / {0})",
    "abs": "tl.abs({0})",
    "neg": "(-{0})",
    "not": "({0} == 0)",
    "sin": "tl.sin({0})",
    "cos": "tl.cos({0})",
    "floor": "tl.floor({0})",
    "ceil": "tl.ceil({0})",
    "relu": "tl.where({0} <= 0, 0, {0})",
    "maximum": "_km_max({0}, {1})",
    "minimum": "_km_min({0}, {1})",
    "where": "tl.where({0}, {1}, {2})",
    "pow": "_km_pow({0}, {1})",
}


def supports(prim: Prim) -> bool:
    """Is there a Triton expression for the prim (views and buffers aside)?"""
    if prim.kind == "pointwise":
        op = prim.attrs["op"]
        return op == "cast" or op in _CALLS or op in _INFIX or op in _COMPARE or op in _BITS
    if prim.kind == "reduce":
        return prim.attrs["op"] in ("sum", "mean", "max", "min") and prim.dtype in FLOATS
    return not is_computed(prim)


class TritonEmitter:
    """Emits a ``@triton.jit`` function and the text of its launch."""

    def __init__(self, kernel: Kernel, schedule: Schedule, name: str):
        self.plan = plan = Plan(kernel, schedule)
        self.nest = plan.nest
        self.name = name
        self.outputs = list(self.nest.roots)
        self.inputs = [p for p in plan.memory if p not in self.outputs]
        reduces = [s for s in self.nest.stages if s.kind == "reduce"]
        domains = {plan.domain(s) for s in self.nest.stages}
        everything = frozenset().union(*domains)
        self.rows = plan.kept(self.nest.parallel) if reduces else frozenset()
        self.inner = [a for a in plan.order if a in everything and a not in self.rows]
        self.size = math.prod(plan.size[a] for a in self.inner)
        self.steps = math.prod(plan.size[a] for a in self.rows)
        self.block = 1 << max(self.size - 1, 1).bit_length() if reduces else BLOCK
        self.lines: list[str] = []
        self.known: dict[Prim, str] = {}
        self.env: dict[Axis, str] = {}
        self.done: dict[Prim, str] = {}

    def function(self) -> str:
        plan = self.plan
        names = [f"b{k}" for k in range(len(self.inputs))]
        results = [f"o{k}" for k in range(len(self.outputs))]
        self.pointer = dict(zip(self.inputs, names, strict=True))
        self.put("p = tl.program_id(0).to(tl.int64)")
        if self.rows:
            rest = "p"
            for axis in reversed([a for a in plan.order if a in self.rows]):
                self.env[axis] = self.let(f"{rest} % {plan.size[axis]}")
                rest = f"({rest} // {plan.size[axis]})"
        first = "" if self.block >= self.size else f"p * {self.block} + "
        self.put(f"r = {first}tl.arange(0, {self.block}).to(tl.int64)", f"mask = r < {self.size}")
        rest = "r"
        for axis in reversed(self.inner):
            self.env[axis] = self.let(f"{rest} % {plan.size[axis]}")
            rest = f"({rest} // {plan.size[axis]})"
        order = sorted(self.nest.stages, key=lambda s: (self.nest.phase[s], s.id))
        for stage in order:
            value = self.reduced(stage) if stage.kind == "reduce" else self.value(stage)
            if stage in self.outputs:
                wide = bool(plan.kept(self.nest.axes(stage)) & set(self.inner))
                pointer = results[self.outputs.index(stage)]
                guard = ", mask" if wide or not self.rows and self.inner and wide else ""
                self.put(f"tl.store({pointer} + {self.offset(stage)}, {value}{guard})")
        body = "\n".join("    " + line for line in self.lines)
        return f"@_triton.jit\ndef _{self.name}({', '.join([*names, *results])}):\n{body}\n"

    def launch(self, arguments: list[str]) -> str:
        grid = self.steps if self.block >= self.size else -(-self.size // self.block)
        warps = 4 if self.block <= 2048 else 8 if self.block <= 8192 else 16
        return f"_{self.name}[({grid},)]({', '.join(arguments)}, num_warps={warps})"

    def put(self, *lines: str) -> None:
        self.lines.extend(lines)

    def let(self, text: str) -> str:
        name = f"t{len(self.lines)}"
        self.put(f"{name} = {text}")
        return name

    def offset(self, prim: Prim) -> str:
        terms = [
            f"{self.env[a]} * {step}"
            for a, step in self.plan.memory[prim].items()
            if a not in self.plan.absorbed and step
        ]
        return " + ".join(terms) or "0"

    def reduced(self, stage: Prim) -> str:
        op, x = stage.attrs["op"], self.value(stage.args[0])
        if op in ("max", "min"):
            text = f"_km_{'top' if op == 'max' else 'bottom'}({x}, mask)"
        else:
            text = f"tl.sum(tl.where(mask, {x}, 0.0), 0)"
            if op == "mean":
                # in float64, so that the mean of equal values is the value itself
                total = f"tl.sum(tl.where(mask, {x}, 0.0).to(tl.float64), 0)"
                text = f"({total} / {float(self.size)!r}).to({TYPES[stage.dtype]})"
        self.done[stage] = self.let(text)
        return self.done[stage]

    def value(self, prim: Prim) -> str:
        if prim in self.done:
            return self.done[prim]
        if prim not in self.known:
            self.known[prim] = self._value(prim)
        return self.known[prim]

    def _value(self, prim: Prim) -> str:
        kind = prim.kind
        if kind == "buffer" or (is_computed(prim) and prim not in self.nest.inside):
            wide = bool(self.plan.kept(self.nest.axes(prim)) & set(self.inner))
            text = f"tl.load({self.pointer[prim]} + {self.offset(prim)}{', mask' if wide else ''})"
            if prim.dtype in ("bf16", "f16"):
                text += ".to(tl.float32)"
            return self.let(text if prim.dtype != "bool" else f"({text} != 0)")
        if kind == "const":
            return _literal(prim)
        if kind in ("permute", "reshape", "expand"):
            return self.value(prim.args[0])
        if kind == "iota":
            axes = self.nest.dims.of(prim)[prim.attrs["dim"]]
            return self.let(self.env[axes[0]] if len(axes) == 1 else _unsupported(prim))
        if kind != "pointwise":
            raise Unsupported(f"{prim} in Triton")
        op = prim.attrs["op"]
        args = [self.value(a) for a in prim.args]
        if op == "cast":
            return self.let(_cast(args[0], prim.args[0].dtype, prim.dtype))
        table = _INFIX.get(op) or _COMPARE.get(op) or _BITS.get(op)
        if table:
            return self.let(f"({args[0]} {table} {args[1]})")
        return self.let(_CALLS[op].format(*args))


def _unsupported(prim: Prim) -> str:
    raise Unsupported(f"{prim} in Triton")


def _literal(prim: Prim) -> str:
    value = prim.attrs["value"]
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if prim.dtype == "bool":
        return "True" if value else "False"
    return repr(value)


def _cast(text: str, source: str, dtype: str) -> str:
    if dtype in ("bf16", "f16") and source in ("f32", "f64"):
        narrow = "tl.bfloat16" if dtype == "bf16" else "tl.float16"
        return f"{text}.to({narrow}).to(tl.float32)"
    if dtype == "bool":
        return f"({text} != 0)"
    if source in INTS and dtype in INTS and source == dtype:
        return text
    return f"{text}.to({TYPES[dtype]})"
