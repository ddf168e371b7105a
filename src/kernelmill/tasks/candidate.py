"""A candidate: source text in some backend that claims to do a task."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from kernelmill.tasks.errors import CandidateError

SUFFIX_BACKENDS = {".py": "torch", ".cpp": "cpp", ".cc": "cpp", ".cu": "cuda"}


@dataclass(frozen=True)
class Candidate:
    """Source text, the backend that builds it, and where it came from.

    Args:
        source: the text. Python text defines ``class ModelNew(nn.Module)`` with the constructor
            and forward signature of the task's ``Model`` (the KernelBench contract).
        backend: name of a backend (``kernelmill doctor`` lists them).
        name: for people; not part of the identity.
        provenance: JSON-able facts (proposer, parameters, parents); not part of the identity.

    Example:
        >>> a = Candidate("class ModelNew: ...", backend="torch")
        >>> a.hash == Candidate("class ModelNew: ...\\n\\n", name="same").hash
        True
    """

    source: str
    backend: str = "torch"
    name: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def hash(self) -> str:
        """Content hash: backend and source, trailing white space aside."""
        text = "\n".join(line.rstrip() for line in self.source.strip().splitlines())
        return hashlib.sha256(f"{self.backend}\0{text}".encode(errors="surrogatepass")).hexdigest()

    @classmethod
    def from_file(cls, path: str | Path, backend: str | None = None) -> Candidate:
        """Read a candidate; the backend follows from the suffix where it is not given.

        Raises:
            CandidateError: the file is missing, is no text, or its suffix names no backend.
        """
        path = Path(path)
        try:
            source = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise CandidateError(f"cannot read candidate {path}: {error}") from error
        if backend is None:
            backend = SUFFIX_BACKENDS.get(path.suffix)
            if backend is None:
                known = ", ".join(SUFFIX_BACKENDS)
                raise CandidateError(
                    f"candidate {path}: suffix {path.suffix!r} names no backend; "
                    f"use one of {known} or give the backend"
                )
        return cls(source, backend, path.stem, {"file": str(path)})
