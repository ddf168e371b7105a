"""The six texts of an Ascend C operator, read and checked before any tool sees them.

The form is MultiKernelBench's: a Python file that assigns six strings. ``project_json_src``
declares the operator for ``msopgen``, ``host_tiling_src`` and ``host_operator_src`` are its host
side, ``kernel_src`` runs on the AI cores, ``python_bind_src`` calls it from C++ and ``model_src``
from Python. They have to agree with each other, and that is what is checked here: the vendor's
own tools find such faults after minutes, in words that do not name the text.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kernelmill.backends.c_text import unbalanced, without_comments

PARTS = (
    "project_json_src", "host_tiling_src", "host_operator_src", "kernel_src", "python_bind_src",
    "model_src",
)  # fmt: skip
TYPES = {
    "float", "float32", "float16", "fp16", "fp32", "bf16", "bfloat16", "int8", "int16", "int32",
    "int64", "uint8", "uint16", "uint32", "uint64", "bool", "double", "complex64", "complex128",
}  # fmt: skip
PARAM_TYPES = {"required", "optional", "dynamic"}
EXTENSION = "custom_ops_lib"  # what model_src imports

_KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+__aicore__\s+void\s+(\w+)\s*\(([^)]*)\)')
_FIELD = re.compile(r"TILING_DATA_FIELD_DEF(?:_ARR|_STRUCT)?\s*\(([^)]*)\)")


@dataclass(frozen=True)
class Argument:
    """An input, output or attribute of the operator; ``param`` is required, optional or dynamic."""

    name: str
    param: str
    types: tuple[str, ...]


@dataclass(frozen=True)
class Operator:
    """What the project declares: ``AddCustom``, its ``inputs``, ``outputs`` and ``attributes``."""

    name: str
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    attributes: tuple[Argument, ...] = ()

    @property
    def file(self) -> str:
        """Name of files and of the kernel's function.

        Example:
            >>> Operator("AddCustom", (), ()).file, Operator("Conv2dReLU", (), ()).file
            ('add_custom', 'conv2d_re_l_u')
        """
        return re.sub(r"(?<!^)(?=[A-Z])", "_", self.name).lower()


def read_parts(source: str) -> tuple[dict[str, str], list[str]]:
    """The six strings by name, and a sentence for each that is not there.

    Only literals count: nothing of the text is executed.

    Example:
        >>> parts, problems = read_parts("kernel_src = 'void f() {}'")
        >>> parts, problems[0]
        ({'kernel_src': 'void f() {}'}, 'project_json_src: is missing; ...')
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        return {}, [f"the file is no Python: {error}"]
    parts: dict[str, str] = {}
    problems = []
    for node in tree.body:
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        name = getattr(node.targets[0], "id", None)
        if name not in PARTS:
            continue
        text = _literal(node.value)
        if text is None:
            problems.append(f"{name}: line {node.lineno}: is to be a string literal")
        parts[name] = text or ""
    missing = [name for name in PARTS if name not in parts]
    wanted = f"a candidate assigns six strings: {', '.join(PARTS)}"
    problems += [f"{name}: is missing; {wanted}" for name in missing]
    return parts, problems


def _literal(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _literal(node.left), _literal(node.right)
        return None if left is None or right is None else left + right
    return None


def check(source: str) -> list[str]:
    """What is wrong with a candidate, a sentence each, led by the text it is in; empty where
    nothing is."""
    return read(source)[2]


def read(source: str) -> tuple[dict[str, str], Operator | None, list[str]]:
    """The texts of a candidate, the operator they declare, and what is wrong with them. Without
    problems there is an operator."""
    parts, problems = read_parts(source)
    if problems:
        return parts, None, problems
    operator, problems = read_operator(parts["project_json_src"])
    if operator is None:
        return parts, None, problems
    host = {name: without_comments(parts[name]) for name in PARTS[1:5]}
    fields, more = _check_tiling(operator, host["host_tiling_src"])
    problems += more
    problems += _check_host(operator, fields, host["host_operator_src"])
    problems += _check_kernel(operator, fields, host["kernel_src"])
    functions, more = _check_binding(operator, host["python_bind_src"])
    problems += more
    problems += _check_model(functions, parts["model_src"])
    for name, text in host.items():
        problems += [f"{name}: {what}" for what in unbalanced(text)]
    return parts, operator, problems


def read_operator(text: str) -> tuple[Operator | None, list[str]]:
    """The operator that ``project_json_src`` declares; ``None`` with the reasons."""
    place = "project_json_src"
    try:
        data = json.loads(text)
    except ValueError as error:
        return None, [f"{place}: no JSON: {error}"]
    if isinstance(data, dict):
        data = [data]
    if not isinstance(data, list) or len(data) != 1 or not isinstance(data[0], dict):
        return None, [f"{place}: want a list with one operator"]
    entry, problems = data[0], []
    name = entry.get("op")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name):
        problems.append(f"{place}: op must be a name like AddCustom, got {name!r}")
        name = "Unknown"
    if entry.get("language", "cpp") != "cpp":
        problems.append(f"{place}: language must be cpp, got {entry['language']!r}")
    found: dict[str, tuple[Argument, ...]] = {}
    for key in ("input_desc", "output_desc", "attr"):
        arguments = []
        for i, item in enumerate(entry.get(key) or []):
            made, wrong = _argument(item, key)
            problems += [f"{place}: {key}[{i}]: {what}" for what in wrong]
            if made:
                arguments.append(made)
        found[key] = tuple(arguments)
    if not found["output_desc"] and not problems:
        problems.append(f"{place}: output_desc must have an output")
    names = [a.name for arguments in found.values() for a in arguments]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems += [f"{place}: {name!r} is declared twice" for name in twice]
    operator = Operator(name, found["input_desc"], found["output_desc"], found["attr"])
    return (None if problems else operator), problems


def _argument(item: Any, key: str) -> tuple[Argument | None, list[str]]:
    if not isinstance(item, dict):
        return None, [f"want an object, got {item!r}"]
    problems = []
    name, param = item.get("name"), item.get("param_type", "required")
    if not isinstance(name, str) or not name.isidentifier():
        problems.append(f"name must be an identifier, got {name!r}")
    if param not in PARAM_TYPES:
        problems.append(f"param_type must be one of {sorted(PARAM_TYPES)}, got {param!r}")
    types = item.get("type", [])
    types = [types] if isinstance(types, str) else types
    if key != "attr":
        unknown = [t for t in types if t not in TYPES]
        if unknown or not types:
            problems.append(f"type must list element types such as float16, got {types!r}")
        formats = item.get("format", [])
        if len(formats) != len(types):
            problems.append(f"as many formats as types: got {formats!r} for {types!r}")
    return (None if problems else Argument(name, param, tuple(types))), problems


def _check_tiling(operator: Operator, text: str) -> tuple[set[str], list[str]]:
    place, problems = "host_tiling_src", []
    begun = re.findall(r"BEGIN_TILING_DATA_DEF\s*\(\s*(\w+)\s*\)", text)
    ended = len(re.findall(r"\bEND_TILING_DATA_DEF\b", text))
    if not begun or len(begun) != ended:
        problems.append(
            f"{place}: want BEGIN_TILING_DATA_DEF(...) and END_TILING_DATA_DEF in pairs, got "
            f"{len(begun)} and {ended}"
        )
    registered = re.findall(r"REGISTER_TILING_DATA_CLASS\s*\(\s*(\w+)\s*,\s*(\w+)\s*\)", text)
    if operator.name not in {name for name, _ in registered}:
        problems.append(f"{place}: no REGISTER_TILING_DATA_CLASS({operator.name}, ...)")
    problems += [
        f"{place}: REGISTER_TILING_DATA_CLASS({name}, {kind}): {kind} is not defined here"
        for name, kind in registered
        if kind not in begun
    ]
    fields = {m.split(",")[-1].strip() for m in _FIELD.findall(text)}
    return fields, problems


def _check_host(operator: Operator, fields: set[str], text: str) -> list[str]:
    place, problems = "host_operator_src", []
    header = f"{operator.file}_tiling.h"
    if f'"{header}"' not in text:
        problems.append(f'{place}: does not #include "{header}", where host_tiling_src goes')
    if not re.search(rf"OP_ADD\s*\(\s*{operator.name}\b", text):
        problems.append(f"{place}: no OP_ADD({operator.name})")
    if not re.search(rf"class\s+{operator.name}\s*:\s*public\s+(?:ops::)?OpDef\b", text):
        problems.append(f"{place}: no class {operator.name} : public OpDef")
    for kind, declared in (
        ("Input", operator.inputs), ("Output", operator.outputs), ("Attr", operator.attributes),
    ):  # fmt: skip
        there = re.findall(rf'\b{kind}\s*\(\s*"(\w+)"', text)
        wanted = [a.name for a in declared]
        if there != wanted:
            problems.append(f"{place}: {kind}s are {there}, project_json_src declares {wanted}")
    for call in ("SetTiling", "AddConfig", "SetBlockDim"):
        if not re.search(rf"\b{call}\s*\(", text):
            problems.append(f"{place}: never calls {call}(...)")
    problems += [
        f"{place}: set_{name}() sets no field of host_tiling_src, which has {sorted(fields)}"
        for name in sorted(set(re.findall(r"\bset_(\w+)\s*\(", text)) - fields)
    ]
    return problems


def _check_kernel(operator: Operator, fields: set[str], text: str) -> list[str]:
    place, problems = "kernel_src", []
    if not re.search(r'#include\s*["<]kernel_operator\.h[">]', text):
        problems.append(f'{place}: does not #include "kernel_operator.h"')
    kernels = {name: arguments for name, arguments in _KERNEL.findall(text)}
    if operator.file not in kernels:
        there = f"; it has {', '.join(kernels)}" if kernels else ""
        problems.append(
            f'{place}: no extern "C" __global__ __aicore__ void {operator.file}(...){there}'
        )
    else:
        given = [a for a in kernels[operator.file].split(",") if a.strip()]
        wanted = [*(a.name for a in (*operator.inputs, *operator.outputs)), "workspace", "tiling"]
        if len(given) != len(wanted):
            problems.append(
                f"{place}: {operator.file} takes {len(given)} arguments, but inputs, outputs, "
                f"workspace and tiling are {len(wanted)}: {', '.join(wanted)}"
            )
    read = re.search(r"\bGET_TILING_DATA(?:_WITH_STRUCT)?\s*\(([^)]*)\)", text)
    if fields and not read:
        problems.append(f"{place}: never reads the tiling (GET_TILING_DATA)")
    elif read:
        # GET_TILING_DATA(name, address) or GET_TILING_DATA_WITH_STRUCT(type, name, address)
        name = read[1].split(",")[-2].strip() if "," in read[1] else ""
        used = set(re.findall(rf"\b{re.escape(name)}\.(\w+)", text)) if name else set()
        problems += [
            f"{place}: {name}.{field} is no field of host_tiling_src, which has {sorted(fields)}"
            for field in sorted(used - fields)
        ]
    return problems


def _check_binding(operator: Operator, text: str) -> tuple[set[str], list[str]]:
    place, problems = "python_bind_src", []
    if not re.search(r"PYBIND11_MODULE\s*\(\s*TORCH_EXTENSION_NAME\b", text):
        problems.append(f"{place}: no PYBIND11_MODULE(TORCH_EXTENSION_NAME, ...)")
    functions = set(re.findall(r'\.def\s*\(\s*"(\w+)"', text))
    if not functions:
        problems.append(f'{place}: the module defines no function (m.def("...", ...))')
    calls = list(_calls(text, "EXEC_NPU_CMD"))
    own = [arguments for arguments in calls if arguments[0] == f"aclnn{operator.name}"]
    if not own:
        names = ", ".join(arguments[0] for arguments in calls) or "none"
        problems.append(f"{place}: no EXEC_NPU_CMD(aclnn{operator.name}, ...); calls: {names}")
    wanted = len(operator.inputs) + len(operator.attributes) + len(operator.outputs)
    problems += [
        f"{place}: aclnn{operator.name} gets {len(arguments) - 1} arguments, the operator has "
        f"{wanted} inputs, attributes and outputs"
        for arguments in own
        if len(arguments) - 1 != wanted
    ]
    return functions, problems


def _check_model(functions: set[str], text: str) -> list[str]:
    place = "model_src"
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        return [f"{place}: no Python: {error}"]
    problems = []
    if not any(isinstance(n, ast.ClassDef) and n.name == "ModelNew" for n in tree.body):
        problems.append(f"{place}: defines no class ModelNew")
    names: set[str] = set()  # under which the extension is known
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {a.asname or a.name for a in node.names if a.name == EXTENSION}
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) in names
    }
    if not names:
        problems.append(f"{place}: does not import {EXTENSION}")
    elif not used & functions:
        problems.append(f"{place}: calls none of {EXTENSION}'s functions {sorted(functions)}")
    problems += [
        f"{place}: {EXTENSION}.{name} is not defined by python_bind_src, which has "
        f"{sorted(functions)}"
        for name in sorted(used - functions)
    ]
    return problems


def _calls(text: str, name: str) -> Iterator[list[str]]:
    """Arguments of each call of a macro, split at its own commas."""
    for match in re.finditer(rf"\b{name}\s*\(", text):
        depth, start, arguments = 1, match.end(), []
        for i in range(match.end(), len(text)):
            c = text[i]
            depth += (c in "([{") - (c in ")]}")
            if depth == 0 or (c == "," and depth == 1):
                arguments.append(text[start:i].strip())
                start = i + 1
            if depth == 0:
                break
        yield arguments
