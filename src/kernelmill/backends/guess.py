"""Which backend a candidate's Python text asks for, where nobody says."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

from kernelmill.tasks import Candidate

# Names whose use gives a backend away, most telling first.
SIGNS = (
    ("ascendc", {"project_json_src", "host_tiling_src"}),
    ("triton", {"triton"}),
    ("pallas", {"pallas", "pallas_call"}),
    ("opencl", {"pyopencl", "compile_opencl"}),
    ("cuda", {"cuda_sources", "with_cuda", "CUDAExtension"}),
    ("cpp", {"compile_cpp", "cpp_sources", "load_inline", "cpp_extension", "CDLL"}),
)


def guess(source: str) -> str:
    """A name of a backend; ``"torch"`` for text that shows no sign or does not parse.

    Example:
        >>> guess("import triton.language as tl"), guess("x = 'triton'")
        ('triton', 'torch')
        >>> guess("f = torch.compile(g)")
        'inductor'
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return "torch"
    words: set[str] = set()
    compiled = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            words.add(node.id)
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
            compiled |= node.attr == "compile" and getattr(node.value, "id", "") == "torch"
        elif isinstance(node, ast.Import):
            words.update(part for alias in node.names for part in alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            words.update((node.module or "").split("."))
            words.update(alias.name for alias in node.names)
        elif isinstance(node, ast.keyword) and node.arg:
            words.add(node.arg)
    for name, signs in SIGNS:
        if words & signs:
            return name
    return "inductor" if compiled else "torch"


def read_candidate(path: Path, backend: str | None = None) -> Candidate:
    """A candidate's file; without a backend, that of its suffix and, for Python, of its text.

    Raises:
        CandidateError: it cannot be read.
    """
    candidate = Candidate.from_file(path, backend)
    if backend is None and path.suffix == ".py":
        return replace(candidate, backend=guess(candidate.source))
    return candidate
