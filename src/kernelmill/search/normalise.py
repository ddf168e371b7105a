"""When are two sources the same text but for how they are written down?"""

from __future__ import annotations

import ast
import hashlib
import re
from functools import lru_cache

_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


@lru_cache(maxsize=64)
def normal_hash(source: str, backend: str) -> str:
    """Hash of a source without comments and layout: Python by its syntax tree, others by their
    text without comments and runs of white space.

    Example:
        >>> normal_hash("x = 1  # one", "torch") == normal_hash("x=1", "torch")
        True
        >>> normal_hash("int x; // one", "cpp") == normal_hash("int  x;", "cpp")
        True
    """
    text = None
    if backend != "cpp" or re.search(r"^\s*(import|from)\s", source, re.MULTILINE):
        try:
            text = ast.dump(ast.parse(source))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            text = None
    if text is None:
        bare = _COMMENT.sub(lambda m: m[0] if m[0][0] == '"' else " ", source)
        # line breaks end preprocessor lines, so they stay
        text = "\n".join(filter(None, (" ".join(line.split()) for line in bare.splitlines())))
    return hashlib.sha256(f"{backend}\0{text}".encode("utf-8", "replace")).hexdigest()
