"""From a definition in a category file to the self-contained text of a task.

The files of a suite are ordinary Python: a function or a class per task, helpers beside them. A
task travels as text (into the sandbox, into prompts), so the text is put together here: the
imports, helpers and constants that a definition uses, and nothing else.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGE = "kernelmill."


class Module:
    """The top level of a source file: the statement that binds each name."""

    def __init__(self, name: str):
        self.name = name
        self.path = Path(find_spec(name).origin)
        self.text = self.path.read_text(encoding="utf-8")
        self.nodes: dict[str, ast.stmt] = {}
        for node in ast.parse(self.text).body:
            for bound in _bound(node):
                self.nodes[bound] = node

    def segment(self, node: ast.stmt) -> str:
        """The node's text with its decorators removed."""
        return ast.get_source_segment(self.text, node) or ast.unparse(node)


@cache
def module(name: str) -> Module:
    return Module(name)


def _bound(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    if isinstance(node, ast.Assign):
        parts = [part for target in node.targets for part in ast.walk(target)]
        return [part.id for part in parts if isinstance(part, ast.Name)]
    return []


def used_names(*nodes: ast.AST) -> set[str]:
    """Every name that is read, whatever its scope."""
    return {
        part.id
        for node in nodes
        for part in ast.walk(node)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)
    }


class Closure:
    """Imports and helpers that a set of names needs, followed through the suite's own files."""

    def __init__(self) -> None:
        self.imports: dict[str, None] = {}
        self.parts: dict[ast.stmt, str] = {}
        self._seen: set[tuple[str, str]] = set()

    def add(self, where: Module, names: Iterable[str]) -> None:
        for name in sorted(names):
            node = where.nodes.get(name)
            if node is None or (where.name, name) in self._seen:
                continue
            self._seen.add((where.name, name))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
                self._from_sibling(node, name)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                self.imports[_one_import(node, name)] = None
            else:
                self.add(where, used_names(node) - {name})
                self.parts[node] = where.segment(node)

    def _from_sibling(self, node: ast.ImportFrom, name: str) -> None:
        alias = next(a for a in node.names if (a.asname or a.name) == name)
        if alias.asname:
            raise ValueError(f"{node.module}: import {alias.name} under its own name")
        self.add(module(node.module), [name])

    def text(self) -> list[str]:
        """Helpers, each after those it needs: parts were added depth first."""
        blocks = []
        for text in self.parts.values():
            gap = ["", ""] if text.startswith(("class ", "def ", "@")) else []
            blocks += [*gap, text]
        return blocks


def _one_import(node: ast.Import | ast.ImportFrom, name: str) -> str:
    alias = next(a for a in node.names if (a.asname or a.name).split(".")[0] == name)
    made = type(node)(**{**_fields(node), "names": [alias]})
    return ast.unparse(made)


def _fields(node: ast.AST) -> dict[str, Any]:
    return {field: getattr(node, field) for field in node._fields}


class _ToSelf(ast.NodeTransformer):
    """Constructor arguments become attributes."""

    def __init__(self, names: set[str]):
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.names:
            return ast.Attribute(ast.Name("self", ast.Load()), node.id, node.ctx)
        return node


def _body(node: ast.FunctionDef) -> list[ast.stmt]:
    first = node.body[0]
    is_doc = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return node.body[1:] if is_doc else node.body


def model_of_function(
    node: ast.FunctionDef, layers: Mapping[str, str], init: tuple[str, ...]
) -> tuple[list[str], set[str]]:
    """``class Model`` of a function: positional parameters are forward arguments, keyword-only
    ones constructor arguments; ``layers`` are attributes, as expressions over ``init``."""
    arguments = [a.arg for a in node.args.args]
    keywords = [a.arg for a in node.args.kwonlyargs]
    defaults = {
        key: f"={ast.unparse(value)}" if value is not None else ""
        for key, value in zip(keywords, node.args.kw_defaults, strict=True)
    }
    forward = [a for a in arguments if a != "self"]
    order = list(init) or keywords
    body = [_ToSelf(set(keywords)).visit(s) for s in _body(node)]
    lines = ["class Model(nn.Module):"]
    if order or layers:
        signature = ", ".join(["self", *(f"{key}{defaults.get(key, '')}" for key in order)])
        lines += [f"    def __init__({signature}):", "        super().__init__()"]
        lines += [f"        self.{key} = {key}" for key in keywords if key not in layers]
        lines += [f"        self.{key} = {value}" for key, value in layers.items()]
        lines.append("")
    lines.append(f"    def forward({', '.join(['self', *forward])}):")
    lines += [f"        {line}" for s in body for line in ast.unparse(s).splitlines()]
    names = used_names(*body, *(ast.parse(value) for value in layers.values())) | {"nn"}
    return lines, names - set(order) - set(forward) - {"self"}


def model_of_class(where: Module, node: ast.ClassDef) -> tuple[list[str], set[str]]:
    """``class Model``: the class under that name, its docstring removed."""
    text = where.segment(node)
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        lines = text.splitlines()
        start, end = first.lineno - node.lineno, first.end_lineno - node.lineno
        while end + 1 < len(lines) and not lines[end + 1].strip():
            end += 1
        text = "\n".join(lines[:start] + lines[end + 1 :])
    text = text.replace(f"class {node.name}(", "class Model(", 1)
    return text.splitlines(), used_names(*node.bases, *node.body) - {node.name}


def assemble(
    where: str,
    definition: str,
    doc: str,
    constants: Mapping[str, Any],
    inputs: Iterable[str],
    init: Iterable[str],
    layers: Mapping[str, str],
    signature: tuple[str, ...],
) -> str:
    """The text of a task (see `kernelmill.tasks.suites.entry.Form`)."""
    source = module(where)
    node = source.nodes[definition]
    if isinstance(node, ast.ClassDef):
        model, names = model_of_class(source, node)
    else:
        model, names = model_of_function(node, layers, signature)
    inputs, init = list(inputs), list(init)
    names |= used_names(*(ast.parse(text, mode="eval") for text in (*inputs, *init)))
    closure = Closure()
    closure.add(source, names - set(constants) - set(dir(builtins)))
    imports = {"import torch", "import torch.nn as nn", *closure.imports}
    lines = [f'"""{doc}"""', "", *sorted(imports, key=_import_order), ""]
    lines += [f"{name} = {value!r}" for name, value in constants.items()]
    lines += [*closure.text(), "", "", *model, "", "", "def get_inputs():"]
    lines += [f"    return [{', '.join(inputs)}]", "", "", "def get_init_inputs():"]
    lines += [f"    return [{', '.join(init)}]", ""]
    return "\n".join(lines)


def without_running_statistics(text: str) -> str:
    """``track_running_stats=False`` in every batch norm of a task's text: the layers use the
    batch's own statistics, as in training, and keep nothing from one call to the next.

    Example:
        >>> without_running_statistics("norm = nn.BatchNorm2d(width * 2)")
        'norm = nn.BatchNorm2d(width * 2, track_running_stats=False)'
    """
    lines = text.encode().splitlines(keepends=True)  # columns of the syntax tree are bytes
    ends = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("nn.BatchNorm"):
            last = [*node.args, *(keyword.value for keyword in node.keywords)][-1]
            ends.append((last.end_lineno - 1, last.end_col_offset))
    for row, column in sorted(ends, reverse=True):
        line = lines[row]
        lines[row] = line[:column] + b", track_running_stats=False" + line[column:]
    return b"".join(lines).decode()


def _import_order(line: str) -> tuple[bool, bool, str]:
    return ("torch" in line, line.startswith("from"), line)
