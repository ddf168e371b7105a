"""A task's reference as the beginning of a candidate's text."""

from __future__ import annotations

import ast
import base64
import textwrap
from typing import Any

from kernelmill.tasks import Task

GENERATORS = {"get_inputs", "get_init_inputs", "get_input_groups"}
PAYLOAD_LIMIT = 32 << 20


def embed(task: Task) -> str | None:
    """The task's text without its generators of inputs, constants replaced by its overrides;
    ``None`` where the text depends on a payload that is too large to travel in a source.

    Example:
        >>> text = "n = 4\\nclass Model: size = n\\ndef get_inputs():\\n    return [n]\\n"
        >>> print(embed(Task("t", text, overrides={"n": 2})))
        n = 4
        n = 2
        class Model: size = n
    """
    header = ""
    if task.payload is not None:
        if len(task.payload) > PAYLOAD_LIMIT:
            return None
        text = "\n".join(textwrap.wrap(base64.b85encode(task.payload).decode(), 88))
        header = (
            f'import base64\n\n__payload__ = base64.b85decode("""{text}""".replace("\\n", ""))\n'
        )
    lines = task.source.splitlines()
    tree = ast.parse(task.source)
    for node in sorted(tree.body, key=lambda n: n.lineno, reverse=True):
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        if isinstance(node, ast.FunctionDef) and node.name in GENERATORS or _is_main(node):
            del lines[first - 1 : node.end_lineno]
        else:
            for name in _bound(node):
                if name in task.overrides:
                    value = _literal(task.overrides[name], node)
                    lines.insert(node.end_lineno, f"{name} = {value}")
    return _with_header(header, "\n".join(lines).rstrip(), tree)


def _with_header(header: str, text: str, tree: ast.Module) -> str:
    """``header`` in front, but behind a docstring and imports from ``__future__``."""
    if not header:
        return text
    last = 0
    for number, node in enumerate(tree.body):
        docstring = number == 0 and isinstance(node, ast.Expr)
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if docstring or future:
            last = node.end_lineno or last
    lines = text.split("\n")
    return "\n".join([*lines[:last], header, *lines[last:]])


def _is_main(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Compare)
        and isinstance(node.test.left, ast.Name)
        and node.test.left.id == "__name__"
    )


def _bound(node: ast.stmt) -> list[str]:
    """Names that a module-level assignment binds."""
    if isinstance(node, ast.AnnAssign):
        targets = [node.target] if node.value is not None else []
    else:
        targets = node.targets if isinstance(node, ast.Assign) else []
    found = [part for target in targets for part in ast.walk(target)]
    return [part.id for part in found if isinstance(part, ast.Name)]


def _literal(value: Any, node: ast.stmt) -> str:
    """``value`` with the type of what it replaces, where that shows (a tuple, a float)."""
    old = getattr(node, "value", None)
    if isinstance(old, ast.Tuple) and isinstance(value, list):
        value = tuple(value)
    if isinstance(old, ast.Constant) and isinstance(old.value, float) and isinstance(value, int):
        value = float(value)
    return repr(value)
