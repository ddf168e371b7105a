"""The evaluator's answer for (task, candidate, environment)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reason:
    """Why a stage refused: a code for machines, a sentence for people, and the evidence."""

    code: str
    message: str
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Errors:
    """Largest error of the candidate against the float64 reference over all cases.

    ``max_abs`` in the output's units; ``max_rel`` relative to the largest magnitude of that
    output; ``reference_abs``, ``reference_rel``: the same for the reference in its own dtype.
    ``cases``: how many (inputs, weights) cases were compared.
    """

    max_abs: float = 0.0
    max_rel: float = 0.0
    reference_abs: float = 0.0
    reference_rel: float = 0.0
    cases: int = 0


@dataclass(frozen=True)
class Timing:
    """Medians in milliseconds; ``ratio`` = reference / candidate (above 1: the candidate is
    faster) with its 95 % bootstrap interval over ``runs`` interleaved pairs; ``floor_ms`` is the
    least time that the hardware allows."""

    reference_ms: float
    candidate_ms: float
    ratio: float
    interval: tuple[float, float]
    runs: int
    floor_ms: float = 0.0


@dataclass(frozen=True)
class Evaluation:
    """A verdict. ``status`` is ``accept``, ``reject``, ``error`` (the candidate could not be
    built, loaded or run) or ``untestable`` (the problem admits no judgement of speed).
    ``stage`` is where it ended: screen, build, correctness, probes, timing, verdict."""

    status: str
    stage: str
    reasons: tuple[Reason, ...] = ()
    warnings: tuple[Reason, ...] = ()
    errors: Errors | None = None
    timing: Timing | None = None
    environment: dict[str, Any] = field(default_factory=dict)
    task_hash: str = ""
    candidate_hash: str = ""
    seed: int | None = None
    seconds: float = 0.0

    @property
    def accepted(self) -> bool:
        return self.status == "accept"

    @property
    def fitness(self) -> float:
        """Speed-up over the reference; 0 for whatever was not accepted or not timed."""
        return self.timing.ratio if self.accepted and self.timing else 0.0

    def to_dict(self) -> dict[str, Any]:
        return {"accepted": self.accepted, **asdict(self)}

    def to_json(self, **options: Any) -> str:
        return json.dumps(self.to_dict(), **options)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Evaluation:
        data = {k: v for k, v in data.items() if k != "accepted"}
        data["reasons"] = tuple(Reason(**r) for r in data.get("reasons", ()))
        data["warnings"] = tuple(Reason(**r) for r in data.get("warnings", ()))
        if data.get("errors"):
            data["errors"] = Errors(**data["errors"])
        if data.get("timing"):
            timing = dict(data["timing"])
            timing["interval"] = tuple(timing["interval"])
            data["timing"] = Timing(**timing)
        return cls(**data)

    @classmethod
    def from_json(cls, text: str) -> Evaluation:
        return cls.from_dict(json.loads(text))
