"""One judged sample: the unit that metrics count and reports show."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from kernelmill.evaluate.evaluation import Evaluation

# Stages before which nothing has been built.
_BEFORE_BUILT = ("screen", "build", "missing")


@dataclass(frozen=True)
class Result:
    """A sample of one task on one platform.

    Args:
        task, category: of the suite.
        platform: the backend's name (``cpp``, ``triton``...).
        sample: number of the sample, from 0.
        compiled: it was built and loaded. correct: the judge found nothing wrong with it
            (status ``accept``, or ``untestable`` where right as far as can be told).
        speedup: reference time / candidate time; ``None`` where it was not timed.
        status, stage, code: of the evaluation; ``code`` is that of its first reason.
            A sample that was never answered is ``status="error"``, ``stage="missing"``.
        reference_ms, candidate_ms: medians. message: the first reason's sentence.
        candidate: content hash. seconds: what judging took.
        model, strategy: who was asked and how, where it is known.
    """

    task: str
    category: str
    platform: str
    sample: int = 0
    compiled: bool = False
    correct: bool = False
    speedup: float | None = None
    status: str = "error"
    stage: str = "missing"
    code: str = ""
    message: str = ""
    reference_ms: float | None = None
    candidate_ms: float | None = None
    interval: tuple[float, float] | None = None
    candidate: str = ""
    seconds: float = 0.0
    model: str = ""
    strategy: str = ""

    @classmethod
    def from_evaluation(
        cls, evaluation: Evaluation, *, task: str, category: str, platform: str, **fields: Any
    ) -> Result:
        reason = evaluation.reasons[0] if evaluation.reasons else None
        timing = evaluation.timing
        return cls(
            task=task,
            category=category,
            platform=platform,
            compiled=evaluation.stage not in _BEFORE_BUILT,
            correct=evaluation.status in ("accept", "untestable"),
            speedup=timing.ratio if timing else None,
            status=evaluation.status,
            stage=evaluation.stage,
            code=reason.code if reason else "",
            message=reason.message if reason else "",
            reference_ms=timing.reference_ms if timing else None,
            candidate_ms=timing.candidate_ms if timing else None,
            interval=timing.interval if timing else None,
            candidate=evaluation.candidate_hash,
            seconds=evaluation.seconds,
            **fields,
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Result:
        data = dict(data)
        if data.get("interval") is not None:
            data["interval"] = tuple(data["interval"])
        return cls(**data)
