"""The candidate in a model's answer."""

from __future__ import annotations

import ast
import re

_BLOCK = re.compile(r"^[ \t]*(```+|~~~+)[ \t]*([^\n`]*)\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.S | re.M)
_THOUGHTS = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.S)
_UNFINISHED = re.compile(r"<(think|thinking|reasoning)>(?!.*</\1>).*", re.S)


def extract(answer: str) -> str | None:
    """The code of an answer: the last fenced block that defines ``ModelNew``, else the longest
    block, else the whole answer where it is Python or C; ``None`` where there is no code.
    Thoughts between ``<think>`` and ``</think>`` are no part of an answer.

    Example:
        >>> extract("So:\\n```\\nx = 1\\n```\\nBetter:\\n```python\\nclass ModelNew: pass\\n```")
        'class ModelNew: pass\\n'
        >>> extract("I cannot do that.") is None
        True
    """
    text = _UNFINISHED.sub("", _THOUGHTS.sub("", answer))
    blocks = [found[3] for found in _BLOCK.finditer(text) if found[3].strip()]
    named = [block for block in blocks if "ModelNew" in block]
    if named:
        return named[-1]
    if blocks:
        return max(blocks, key=len)
    return text if _is_code(text) else None


def _is_code(text: str) -> bool:
    if "#include" in text or "__global__" in text:
        return True
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return "class ModelNew" in text
    return any(isinstance(node, (ast.ClassDef, ast.Import, ast.ImportFrom)) for node in tree.body)


def suffix(source: str, backend: str) -> str:
    """Of the file that a candidate goes to: ``.py``, or that of plain C++ and CUDA text."""
    native = {"cpp": ".cpp", "cuda": ".cu"}.get(backend)
    if native is None or "class ModelNew" in source:
        return ".py"
    signs = ("#include", 'extern "C"', "__global__")
    return native if any(sign in source for sign in signs) else ".py"
