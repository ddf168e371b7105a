"""Mutants of an honest kernel: one small change each, of the kinds that people and models make."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

SWAPPED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
           ast.FloorDiv: ast.Mult, ast.MatMult: ast.Mult, ast.Lt: ast.LtE, ast.Gt: ast.GtE,
           ast.LtE: ast.Lt, ast.GtE: ast.Gt}  # fmt: skip
RENAMED = {
    "mean": "sum", "sum": "mean", "amax": "amin", "maximum": "minimum", "rsqrt": "sqrt",
    "exp": "exp2", "sigmoid": "tanh", "tanh": "sigmoid", "relu": "abs", "sqrt": "square",
    "square": "abs", "weight": "bias", "bias": "weight", "weight_ih": "weight_hh",
    "bias_ih": "bias_hh", "bias_hh": "bias_ih", "zeros": "ones", "new_zeros": "new_ones",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """``change`` says what was done: ``line: before -> after``."""

    change: str
    source: str


def _changed(node: ast.AST) -> Iterator[ast.AST]:
    """Other versions of one node."""
    if isinstance(node, ast.BinOp):
        yield node.left
        yield node.right
        if type(node.op) in SWAPPED:
            yield ast.BinOp(node.left, SWAPPED[type(node.op)](), node.right)
        if isinstance(node.op, (ast.Sub, ast.Div, ast.FloorDiv, ast.MatMult)):
            yield ast.BinOp(node.right, node.op, node.left)
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPPED:
        yield ast.Compare(node.left, [SWAPPED[type(node.ops[0])]()], node.comparators)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield ast.Constant(not node.value)
        elif isinstance(node.value, int):
            yield ast.Constant(node.value + 1)
            yield ast.Constant(node.value - 1)
        elif isinstance(node.value, float):
            yield ast.Constant(node.value * 100)
            yield ast.Constant(node.value * 0.9)
    elif isinstance(node, ast.Attribute) and node.attr in RENAMED:
        yield ast.Attribute(node.value, RENAMED[node.attr], node.ctx)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        owner = node.func.value
        if isinstance(owner, ast.Name) and owner.id in ("torch", "nn", "math"):
            if node.args:
                yield node.args[0]
        elif not isinstance(owner, ast.Name) or owner.id not in ("self", "super"):
            yield owner
    elif isinstance(node, ast.Slice):
        if node.upper is not None:
            shorter = ast.BinOp(node.upper, ast.Sub(), ast.Constant(1))
            yield ast.Slice(node.lower, shorter, node.step)


def _places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """(parent, field, index, node) of everything inside ``forward`` and what it calls."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef) or function.name == "__init__":
            continue
        for parent in ast.walk(function):
            if parent in function.args.args or isinstance(parent, ast.arguments):
                continue
            for field, value in ast.iter_fields(parent):
                if parent is function and field not in ("body",):
                    continue
                if isinstance(value, ast.AST):
                    yield parent, field, None, value
                elif isinstance(value, list):
                    for index, item in enumerate(value):
                        if isinstance(item, ast.AST):
                            yield parent, field, index, item


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def mutants(source: str) -> list[Mutant]:
    """All mutants of ``source`` that are another text, each once, in the order of the text."""
    tree = ast.parse(source)
    plain = ast.unparse(tree)
    found: dict[str, Mutant] = {}
    for parent, field, index, node in _places(tree):
        if isinstance(parent, (ast.arg, ast.AnnAssign)) or field in ("annotation", "returns"):
            continue
        before = ast.unparse(node)
        for other in _changed(node):
            _put(parent, field, index, copy.deepcopy(other))
            text = ast.unparse(ast.fix_missing_locations(tree))
            after = ast.unparse(other)
            _put(parent, field, index, node)
            if text not in (plain, *found):
                line = getattr(node, "lineno", getattr(parent, "lineno", 0))
                found[text] = Mutant(f"{line}: {before} -> {after}", text)
    return list(found.values())
