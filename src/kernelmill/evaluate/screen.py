"""The static screen: what can be said of a candidate's text alone.

Only what makes judging impossible is refused here (no syntax, no ``ModelNew``); everything else
is a hint that goes into the report, never the verdict.
"""

from __future__ import annotations

import ast

from kernelmill.evaluate.evaluation import Reason

_KERNEL_NAMES = {"load_inline", "compile_cpp", "CDLL"}
_HINTS = {
    "gc": "imports gc", "inspect": "imports inspect", "threading": "imports threading",
    "_thread": "imports _thread", "subprocess": "imports subprocess", "atexit": "imports atexit",
    "multiprocessing": "imports multiprocessing", "socket": "imports socket",
}  # fmt: skip


def _names(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update(alias.name.split(".")[-1] for alias in node.names)
    return found


def calls_compiler(source: str) -> bool:
    """Does the text itself use ``torch.compile``? Comments and strings do not count."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(
        isinstance(node, ast.Attribute) and node.attr in ("compile", "_dynamo")
        and isinstance(node.value, ast.Name) and node.value.id == "torch"
        for node in ast.walk(tree)
    )  # fmt: skip


def screen(source: str, is_python: bool) -> tuple[list[Reason], list[Reason], bool]:
    """Reasons to refuse, hints, and whether the text claims to bring a kernel of its own.

    Example:
        >>> screen("x = (", True)[0][0].code
        'syntax_error'
    """
    try:
        source.encode()
    except UnicodeEncodeError as error:
        return [Reason("syntax_error", f"the text is not valid Unicode: {error}")], [], False
    if not source.strip():
        return [Reason("no_model_new", "the candidate's text is empty")], [], False
    if not is_python:
        return [], [], True
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        message = f"line {line}: {getattr(error, 'msg', None) or error or type(error).__name__}"
        return [Reason("syntax_error", message, {"line": line})], [], False
    names = _names(tree)
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    if "ModelNew" not in names | defined:
        return [Reason("no_model_new", "the text defines no class ModelNew")], [], False
    hints = []
    for node in ast.walk(tree):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module.split(".")[0]]
        hints += [
            Reason("hint", f"line {node.lineno}: {_HINTS[m]}") for m in modules if m in _HINTS
        ]
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in targets:
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                if target.value.id in ("torch", "time", "numpy", "np", "builtins"):
                    text = f"line {node.lineno}: assigns to {target.value.id}.{target.attr}"
                    hints.append(Reason("hint", text))
    claims = bool(_KERNEL_NAMES & names) or {"triton", "jit"} <= names
    return [], hints, claims
