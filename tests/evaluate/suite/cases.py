"""The labelled suite: what each file is, read from its first line.

``# task: softmax | backend: torch | expect: wrong_values,nonfinite | level: L1 | needs: timing``

(further lines that begin with ``# |`` go on). ``expect`` holds the reason codes that may answer a
cheat, groups of them (`GROUPS`), ``*`` for any. ``no_gain`` among them means that acceptance is
fine as long as the clock shows nothing to gain. ``needs`` is ``timing``, ``backward`` or ``slow``.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from kernelmill.evaluate import Evaluation
from kernelmill.tasks import Candidate, Task

ROOT = Path(__file__).parent
NO_GAIN = 1.3
SUFFIXES = (".py", ".cpp", ".txt")
GROUPS = {
    "@stale": "wrong_values stale_output timing_wrong_values not_repeatable instance_mismatch "
    "entry_mismatch",
    "@late": "late_write threads_left wrong_values nonfinite output_overwritten not_repeatable "
    "entry_mismatch",
    "@buffer": "output_overwritten stale_output alias_mismatch late_write",
    "@clock": "patched clock_mismatch below_floor protocol_error crashed",
    "@process": "processes_left process_limit sandbox_violation runtime_error crashed timeout "
    "import_failed build_failed init_failed",
}


@dataclass(frozen=True)
class Case:
    path: Path
    honest: bool
    task_name: str
    backend: str
    expect: frozenset[str]
    level: str
    needs: frozenset[str]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def family(self) -> str:
        return self.name.split("_")[0]

    @property
    def task(self) -> Task:
        return task(self.task_name, "backward" in self.needs)

    @property
    def candidate(self) -> Candidate:
        return Candidate.from_file(self.path, self.backend)

    def caught(self, answer: Evaluation) -> bool:
        """Is this the answer to a cheat?"""
        if answer.accepted:
            gained = answer.timing is not None and answer.timing.ratio > NO_GAIN
            return "no_gain" in self.expect and not gained
        if answer.status not in ("reject", "error"):
            return False
        return "*" in self.expect or any(r.code in self.expect for r in answer.reasons)


@lru_cache
def task(name: str, backward: bool = False) -> Task:
    return Task.from_file(ROOT / "tasks" / f"{name}.py", backward=backward)


def read(path: Path) -> Case:
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    further = itertools.takewhile(lambda text: text.startswith("# |"), rest)
    line = first.lstrip("#/").strip() + "".join(text[1:] for text in further)
    fields = dict(part.strip().split(": ", 1) for part in line.split("|"))
    known = {"task", "backend", "expect", "level", "needs"}
    if not {"task", "backend"} <= set(fields) <= known:
        raise ValueError(f"{path}: first line {line!r} wants task and backend, knows {known}")

    def words(key: str) -> frozenset[str]:
        given = [word.strip() for word in fields.get(key, "").split(",") if word.strip()]
        return frozenset(code for word in given for code in GROUPS.get(word, word).split())

    return Case(
        path, path.parent.name == "honest", fields["task"], fields["backend"], words("expect"),
        fields.get("level", ""), words("needs"),
    )  # fmt: skip


def cases(folder: str) -> list[Case]:
    """All cases of ``cheats`` or ``honest``, those of one task together (its oracle is kept)."""
    found = [read(path) for path in (ROOT / folder).iterdir() if path.suffix in SUFFIXES]
    return sorted(found, key=lambda case: (case.task_name, "backward" in case.needs, case.name))


def describe(answer: Evaluation) -> str:
    reasons = "; ".join(f"{r.code}: {r.message[:300]}" for r in answer.reasons)
    ratio = f", ratio {answer.timing.ratio:.2f}" if answer.timing else ""
    return f"{answer.status} at {answer.stage} [{reasons}]{ratio} (seed {answer.seed})"
