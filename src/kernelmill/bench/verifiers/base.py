"""What a verifier is, screening by several of them, and what a screen is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Review:
    """A verifier's opinion: 1 sees no fault, 0 is sure of one; lines of the candidate count
    from 1."""

    score: float
    reasons: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.score <= 1:
            raise ValueError(f"score: want a number in [0, 1], got {self.score!r}")


class Verifier(Protocol):
    """Reads a candidate beside its reference."""

    name: str

    def review(self, reference: str, candidate: str, context: Mapping[str, Any]) -> Review: ...


@dataclass(frozen=True)
class Screened:
    """A candidate, the reviews it got and whether it goes on to the judge."""

    candidate: str
    passed: bool
    reviews: dict[str, Review]


def screen(
    reference: str,
    candidates: Sequence[str],
    verifiers: Sequence[Verifier],
    threshold: float = 0.5,
    context: Mapping[str, Any] | None = None,
) -> list[Screened]:
    """Show each candidate to the verifiers in their order (cheap ones first); the first score
    below the threshold ends it, so that dearer verifiers are not asked.

    A pass accepts nothing: it admits the candidate to the judge, whose word is final.

    Raises:
        ValueError: the threshold is outside [0, 1].
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold: want a number in [0, 1], got {threshold!r}")
    screened = []
    for candidate in candidates:
        reviews: dict[str, Review] = {}
        for verifier in verifiers:
            review = verifier.review(reference, candidate, context or {})
            reviews[verifier.name] = review
            if review.score < threshold:
                break
        passed = all(review.score >= threshold for review in reviews.values())
        screened.append(Screened(candidate, passed, reviews))
    return screened


@dataclass(frozen=True)
class Effect:
    """What a screen does to a set of judged candidates.

    ``before`` and ``after``: the share of correct ones among those that are run; ``None`` where
    none is run. ``lost``: correct ones held back. ``saved``: wrong ones that are not run.
    """

    before: float | None
    after: float | None
    lost: int
    saved: int


def effect(correct: Sequence[bool], passed: Sequence[bool]) -> Effect:
    """The filter effect, from the judge's verdicts and the screen's.

    Raises:
        ValueError: the two differ in length.

    Example:
        >>> effect([True, True, False, False], [True, False, True, False])
        Effect(before=0.5, after=0.5, lost=1, saved=1)
    """
    pairs = list(zip(correct, passed, strict=True))
    run = [good for good, through in pairs if through]
    return Effect(
        before=sum(correct) / len(pairs) if pairs else None,
        after=sum(run) / len(run) if run else None,
        lost=sum(good and not through for good, through in pairs),
        saved=sum(not good and not through for good, through in pairs),
    )
