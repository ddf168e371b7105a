"""Arguments of the commands as tasks and candidates."""

from __future__ import annotations

from pathlib import Path

from kernelmill import backends
from kernelmill.tasks import Candidate, Task, TaskError
from kernelmill.tasks.source import parse_overrides


def load_task(reference: str, settings: list[str]) -> Task:
    """The task of REFERENCE with the constants of ``--set``.

    Raises:
        TaskError: it cannot be read.
    """
    path = Path(reference)
    if ":" not in reference and not path.exists():
        raise TaskError(f"{reference}: no such file; wanted a problem file or module:attr")
    return Task.from_file(reference, overrides=parse_overrides(settings))


def load_candidate(path: Path, backend: str | None) -> Candidate:
    """The candidate with its backend: as asked for, else by suffix and, for Python, by text.

    Raises:
        CandidateError: it cannot be read.
        ValueError: the backend is unknown or cannot be used here.
    """
    if backend is not None:
        backends.get(backend)  # an unknown name before anything else
    candidate = backends.read_candidate(path, backend)
    usable = backends.get(candidate.backend).available()
    if not usable.usable:
        raise ValueError(f"backend {candidate.backend} cannot be used here: {usable.reason}")
    return candidate
