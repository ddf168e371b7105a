"""A candidate's text taken apart once for all static rules: Python syntax, and the C++ within."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from kernelmill.backends.c_text import without_comments

_IS_C = re.compile(r'#\s*include\b|extern\s+"C"|__global__|\bkernel\s+void\b')


@dataclass(frozen=True)
class Native:
    """A C++, CUDA or OpenCL text, comments blanked; ``line`` is where it begins."""

    text: str
    line: int

    def line_of(self, position: int) -> int:
        return self.line + self.text.count("\n", 0, position)


@dataclass(frozen=True)
class Text:
    """A candidate; ``tree`` is ``None`` where it is no Python."""

    source: str
    reference: str = ""

    @cached_property
    def parsed(self) -> ast.Module | Exception:
        try:
            return ast.parse(self.source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return error

    @property
    def tree(self) -> ast.Module | None:
        return self.parsed if isinstance(self.parsed, ast.Module) else None

    @cached_property
    def is_python(self) -> bool:
        """Python, or meant to be."""
        meant = "ModelNew" in self.source and "import" in self.source
        return self.tree is not None or meant or not _IS_C.search(self.source)

    @cached_property
    def reference_tree(self) -> ast.Module | None:
        try:
            return ast.parse(self.reference)
        except (SyntaxError, ValueError):
            return None

    @cached_property
    def natives(self) -> list[Native]:
        """Strings that hold native code, or the whole text."""
        if not self.is_python:
            return [Native(without_comments(self.source), 1)]
        found = []
        for node in ast.walk(self.tree) if self.tree else ():
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if _IS_C.search(node.value):
                    found.append(Native(without_comments(node.value), node.lineno))
        return found

    def calls(self, *names: str) -> Iterator[ast.Call]:
        """Python calls of a name or attribute."""
        for node in ast.walk(self.tree) if self.tree else ():
            if isinstance(node, ast.Call) and called(node) in names:
                yield node


def called(node: ast.Call) -> str:
    """The last part of what is called."""
    return getattr(node.func, "attr", None) or getattr(node.func, "id", "")


def method(tree: ast.Module | None, names: tuple[str, ...], name: str) -> ast.FunctionDef | None:
    """A method of the first class of one of these names."""
    for node in tree.body if tree else ():
        if isinstance(node, ast.ClassDef) and node.name in names:
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name == name:
                    return item
    return None


def block_after(text: str, start: int) -> str:
    """The statement or block that follows a position: up to its own closing brace, or the
    semicolon outside all brackets."""
    depth, round_ = 0, 0
    for i in range(start, len(text)):
        c = text[i]
        round_ += (c == "(") - (c == ")")
        depth += (c == "{") - (c == "}")
        if c == "}" and depth <= 0:
            return text[start : i + 1]
        if c == ";" and depth == 0 and round_ == 0:
            return text[start : i + 1]
    return text[start:]
