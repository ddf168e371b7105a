"""Reading a folder of candidates: ours, a KernelBench run, a MultiKernelBench output."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from kernelmill import backends
from kernelmill.tasks import Candidate, CandidateError, Suite
from kernelmill.tasks.candidate import SUFFIX_BACKENDS
from kernelmill.tasks.suites import kernelbench_problems

_OURS = re.compile(r"sample_(\d+)")
_KERNELBENCH = re.compile(r"level_(\d+)_problem_(\d+)_sample_(\d+)_kernel")
_RUN = re.compile(r"run(\d+)")
_FENCE = re.compile(r"```[ \t]*(\w*)[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Item:
    """A candidate for a task, and which sample it is."""

    task: str
    sample: int
    candidate: Candidate


def first_block(answer: str) -> str:
    """The first fenced block of an answer, or the whole text where nothing is fenced.

    Example:
        >>> first_block("Here: ```python\\nx = 1\\n``` and so on")
        'x = 1'
    """
    found = _FENCE.search(answer)
    return found[2] if found else answer


def read_candidates(
    path: str | Path, suite: Suite, backend: str | None = None
) -> tuple[list[Item], list[str]]:
    """The candidates of a folder, and a sentence for each file that is of no task.

    Read are ``<task>/sample_<n>.py`` (also ``.cpp`` and ``.cu``; a file ``<task>.py`` is sample 0),
    ``level_<l>_problem_<id>_sample_<n>_kernel.py`` of KernelBench, by the number of the problem
    that a task stems from, and ``run<n>/<task>.txt`` of MultiKernelBench, whose first fenced block
    counts.

    Args:
        backend: of all of them; by default from the suffix and the text.

    Raises:
        CandidateError: there is no such folder, it has no candidate, or two files are the same
            sample of a task.
    """
    root = Path(path)
    if not root.is_dir():
        raise CandidateError(f"{root}: no such folder of candidates")
    names = {task.name for task in suite}
    problems = kernelbench_problems(suite)
    items: dict[tuple[str, int], Item] = {}
    notes: list[str] = []
    for file in sorted(p for p in root.rglob("*") if p.is_file()):
        place = _place(file, root, problems)
        if place is None:
            continue
        task, sample = place
        if task not in names:
            near = ", ".join(difflib.get_close_matches(task, names, 3)) or "none"
            notes.append(f"{file}: the suite has no task {task!r}; nearest: {near}")
            continue
        if (task, sample) in items:
            raise CandidateError(f"{file}: sample {sample} of {task} is there twice")
        items[task, sample] = Item(task, sample, _read(file, backend))
    if not items:
        seen = f" ({notes[0]})" if notes else ""
        raise CandidateError(f"{root}: has no candidate for a task of {suite.name}{seen}")
    return list(items.values()), notes


def _place(file: Path, root: Path, problems: dict[str, str]) -> tuple[str, int] | None:
    if found := _KERNELBENCH.fullmatch(file.stem):
        problem = f"L{found[1]}/{found[2]}"
        return problems.get(problem, problem), int(found[3])
    if file.suffix == ".txt":
        found = _RUN.fullmatch(file.parent.name)
        return (file.stem, int(found[1])) if found else None
    if file.suffix not in SUFFIX_BACKENDS:
        return None
    if found := _OURS.fullmatch(file.stem):
        return file.parent.name, int(found[1])
    return (file.stem, 0) if file.parent == root else None


def _read(file: Path, backend: str | None) -> Candidate:
    if file.suffix == ".txt":
        try:
            source = first_block(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise CandidateError(f"cannot read candidate {file}: {error}") from error
        chosen = backend or backends.guess(source)
        return Candidate(source, chosen, file.stem, {"file": str(file)})
    return backends.read_candidate(file, backend)
