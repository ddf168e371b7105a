"""Element-wise operators as C++ expressions."""

from __future__ import annotations

import math

from kernelmill.search.codegen.ir import C_COMPUTE, FLOATS, INTS

# operators whose recomputation costs more than a load from a near cache
EXPENSIVE = frozenset(
    "exp exp2 expm1 log log2 log10 log1p tanh sigmoid erf erfc pow sin cos tan asin acos atan sinh "
    "cosh atan2 fmod div sqrt rsqrt reciprocal".split()
)
_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_BITS = {"and": "&", "or": "|", "xor": "^"}
_KM = frozenset("exp exp2 expm1 log log2 log10 log1p tanh sigmoid erf pow sin cos".split())
_STD = frozenset("tan asin acos atan sinh cosh atan2 fmod floor ceil trunc erfc sqrt".split())


def literal(value: float | int | bool, dtype: str) -> str:
    """A C++ literal of a constant held in ``dtype``."""
    kind = C_COMPUTE[dtype]
    if dtype == "bool":
        return "true" if value else "false"
    if dtype in INTS:
        return f"(({kind}){int(value)}LL)" if int(value) != -(2**63) else "INT64_MIN"
    suffix = "" if dtype == "f64" else "f"
    if math.isnan(value):
        return f"(({kind})KM_NAN)"
    if math.isinf(value):
        return f"(({kind}){'-' if value < 0 else ''}KM_INF)"
    text = repr(float(value)) if dtype == "f64" else _single(value)
    return f"({text}{suffix})"


def _single(value: float) -> str:
    import struct

    try:
        rounded = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return f"{math.copysign(1, value):.0f}.0f*KM_INF*1.0"
    return repr(rounded)


def pointwise(op: str, args: list[str], dtype: str, arg_dtype: str) -> str:
    """``op`` on C++ expressions; ``arg_dtype`` is the dtype of the (last) argument."""
    kind = C_COMPUTE[dtype]
    if op == "cast":
        return cast(args[0], arg_dtype, dtype)
    if op == "where":
        return f"({args[0]} ? {args[1]} : {args[2]})"
    if op in _INFIX:
        text = f"({args[0]} {_INFIX[op]} {args[1]})"
        return text if dtype in ("f64", "f32", "bf16", "f16", "i64", "i32") else f"({kind}){text}"
    if op in _COMPARE:
        return f"({args[0]} {_COMPARE[op]} {args[1]})"
    if op in _BITS:
        return f"({kind})({args[0]} {_BITS[op]} {args[1]})"
    if op == "not":
        return f"(!{args[0]})"
    if op == "invert":
        return f"({kind})(~{args[0]})"
    if op == "neg":
        return f"(-{args[0]})" if dtype != "bool" else args[0]
    if op == "abs":
        return f"std::fabs({args[0]})" if dtype in FLOATS else f"({kind})std::abs({args[0]})"
    if op == "maximum":
        return f"km_max<{kind}>({args[0]}, {args[1]})"
    if op == "minimum":
        return f"km_min<{kind}>({args[0]}, {args[1]})"
    if op == "relu":
        return f"km_relu<{kind}>({args[0]})"
    if op == "sign":
        return f"km_sign<{kind}>({args[0]})"
    if op == "reciprocal":
        return f"(({kind})1 / {args[0]})"
    if op == "rsqrt":
        return f"(({kind})1 / std::sqrt({args[0]}))"
    if op == "round":
        return f"std::nearbyint({args[0]})"
    if op in _KM:
        return f"km_{op}({', '.join(args)})"
    if op in _STD:
        return f"std::{op}({', '.join(args)})"
    raise KeyError(op)


def cast(text: str, source: str, dtype: str) -> str:
    kind = C_COMPUTE[dtype]
    if dtype in ("bf16", "f16") and source in ("f32", "f64"):
        # held in float32, but with the bits that the narrow type keeps
        if dtype == "bf16":
            return f"km_load(km_to_bf16((float)({text})))"
        return f"(float)(_Float16)({text})"
    if C_COMPUTE[source] == kind:
        return text
    if dtype == "bool":
        return f"({text} != 0)"
    if source == "bool":
        # a select vectorises, a conversion of bool does not
        return f"({text} ? ({kind})1 : ({kind})0)"
    return f"({kind})({text})"


def load(text: str, dtype: str) -> str:
    if dtype == "bf16":
        return f"km_load({text})"
    if dtype == "f16":
        return f"(float)({text})"
    if dtype == "bool":
        return f"({text} != 0)"
    return text


def store(text: str, dtype: str) -> str:
    if dtype == "bf16":
        return f"km_to_bf16({text})"
    if dtype == "f16":
        return f"(_Float16)({text})"
    if dtype == "bool":
        return f"(uint8_t)({text})"
    return text


def identity(op: str, dtype: str) -> str:
    """The value that a reduction starts from."""
    kind = C_COMPUTE[dtype]
    if op in ("sum", "mean"):
        return f"({kind})0"
    if op == "prod":
        return f"({kind})1"
    if op == "any":
        return "false"
    if op == "all":
        return "true"
    sign = "-" if op in ("max", "argmax") else ""
    if dtype in FLOATS:
        return f"({kind})({sign}KM_INF)"
    bound = "lowest" if op in ("max", "argmax") else "max"
    return f"std::numeric_limits<{kind}>::{bound}()"


def join(op: str, a: str, b: str, kind: str) -> str:
    """``a`` joined with ``b`` in a reduction held in the C++ type ``kind``."""
    if op in ("max", "min"):
        return f"km_{op}<{kind}>({b}, {a})"
    return f"({a} {({'sum': '+', 'mean': '+', 'prod': '*', 'any': '|', 'all': '&'})[op]} {b})"
