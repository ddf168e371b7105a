"""Verifiers that ask a language model: compile, memory and numerics, combined by their mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kernelmill.bench.verifiers.base import Review

Ask = Callable[[list[dict[str, str]]], str]

QUESTIONS = {
    "compile": "Does it build? Look at headers, names, template arguments, qualifiers, the binding "
    "and its signature, launch syntax and resource limits.",
    "memory": "Is every access in bounds? Look at each index and its guard, masks, the size and "
    "alignment of shared memory, and reads of memory that nothing has written.",
    "numerics": "Are the values right? Look at initial values, barriers around shared data, tiles "
    "that are left out or written twice, reduction order, overflow and accumulator types.",
}
ENDING = "End with a line that holds only True (no fault found) or False (a fault)."
REFLECT = f"Check your findings once more against the text, line by line. {ENDING}"


def verdict(answer: str) -> bool | None:
    """The last line of an answer as True or False; ``None`` where it is neither.

    Example:
        >>> verdict("Out of bounds in line 3.\\nFalse\\n"), verdict("It is True, I think")
        (False, None)
    """
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    return {"True": True, "False": False}.get(lines[-1]) if lines else None


@dataclass
class LanguageVerifier:
    """Asks the questions of ``subjects``, each with one round of reflection.

    The score is the mean over subjects: 1 for True, 0 for False, and 0.5 for an answer without
    a verdict (it neither clears nor rejects at a threshold of 0.5; the reasons say so).

    Args:
        ask: a chat function: messages of ``role`` and ``content`` to the answer's text.
    """

    ask: Ask
    subjects: tuple[str, ...] = tuple(QUESTIONS)
    name: str = "language"

    def __post_init__(self) -> None:
        unknown = [s for s in self.subjects if s not in QUESTIONS]
        if unknown or not self.subjects:
            raise ValueError(f"subjects: want some of {list(QUESTIONS)}, got {self.subjects!r}")

    def review(self, reference: str, candidate: str, context: Mapping[str, Any]) -> Review:
        scores, reasons = [], []
        for subject in self.subjects:
            text = f"{QUESTIONS[subject]} {ENDING}\n\nReference:\n{reference}\n\nKernel:\n"
            messages = [{"role": "user", "content": text + candidate}]
            first = self.ask(messages)
            messages += [
                {"role": "assistant", "content": first},
                {"role": "user", "content": REFLECT},
            ]
            answer = self.ask(messages)
            found = verdict(answer)
            scores.append(0.5 if found is None else float(found))
            if found is not True:
                said = "no verdict" if found is None else answer.strip()
                reasons.append(f"{subject}: {said}")
        return Review(sum(scores) / len(scores), tuple(reasons))
