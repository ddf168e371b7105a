"""When a search ends."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any

_UNITS = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_budget(budget: str | float | Budget) -> Budget:
    """Seconds as a number, or text with a unit (``ms``, ``s``, ``m``, ``h``).

    Raises:
        ValueError: the budget is no duration, or not above zero.

    Example:
        >>> parse_budget("2m").seconds
        120.0
        >>> parse_budget(60).seconds
        60.0
    """
    if isinstance(budget, Budget):
        return budget
    wanted = 'wanted a time above zero such as "60s", "2m", "1h" or a number of seconds'
    seconds = math.nan
    if isinstance(budget, (int, float)) and not isinstance(budget, bool):
        seconds = float(budget)
    elif isinstance(budget, str):
        match = re.fullmatch(r"\s*([+-]?[0-9.]+(?:e[+-]?\d+)?)\s*([a-z]*)\s*", budget.lower())
        if match and match[2] in _UNITS:
            try:
                seconds = float(match[1]) * _UNITS[match[2]]
            except ValueError:
                pass
    if not math.isfinite(seconds) or seconds <= 0:
        raise ValueError(f"budget: got {budget!r}; {wanted}")
    return Budget(seconds=seconds)


@dataclass(frozen=True)
class Budget:
    """Limits of a run; ``None`` is no limit, and at least one of the first four is needed.

    Args:
        seconds: wall clock of the search, evaluations included.
        candidates: number of candidates judged, the root aside.
        target: a fitness that is enough.
        patience: candidates in a row without improvement.
        min_improvement: relative gain over the best that counts as improvement.
        floor: stop when a candidate's time is below ``floor`` times the physical floor.

    Raises:
        ValueError: a limit is out of range, or there is none.

    Example:
        >>> Budget(seconds=60, patience=20).seconds
        60
    """

    seconds: float | None = None
    candidates: int | None = None
    target: float | None = None
    patience: int | None = None
    min_improvement: float = 0.0
    floor: float | None = 1.05

    def __post_init__(self) -> None:
        if all(v is None for v in (self.seconds, self.candidates, self.target, self.patience)):
            raise ValueError(
                "budget: got no limit; wanted at least one of seconds, candidates, target, patience"
            )
        for name in ("seconds", "candidates", "patience", "floor"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"budget: {name} must be above zero, got {value!r}")
        if self.min_improvement < 0:
            raise ValueError(
                f"budget: min_improvement must not be negative, got {self.min_improvement!r}"
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Stopper:
    """Applies a `Budget` to a stream of scores. After each candidate the rules are tried in this
    order: target, max_artifacts, wall_clock, stall, floor.

    Example:
        >>> stopper = Stopper(Budget(patience=2))
        >>> [stopper.add(t, score) for t, score in enumerate([1.0, 2.0, 1.5, 2.0])]
        [None, None, None, 'stall']
    """

    def __init__(self, budget: Budget):
        self.budget = budget
        self.count = 0
        self.best: float | None = None
        self.since_best = 0

    def add(self, elapsed: float, score: float, floor_share: float | None = None) -> str | None:
        """``floor_share``: the candidate's time over the physical floor, where it is known."""
        rule = self.budget
        self.count += 1
        if self.best is None:
            self.best = score
        elif score > self.best * (1 + rule.min_improvement):
            self.best, self.since_best = score, 0
        else:
            self.since_best += 1
        if rule.target is not None and score >= rule.target:
            return "target"
        if rule.candidates is not None and self.count >= rule.candidates:
            return "max_artifacts"
        if self.out_of_time(elapsed):
            return "wall_clock"
        if rule.patience is not None and self.since_best >= rule.patience:
            return "stall"
        if rule.floor is not None and floor_share is not None and floor_share <= rule.floor:
            return "floor"
        return None

    def out_of_time(self, elapsed: float) -> bool:
        return self.budget.seconds is not None and elapsed >= self.budget.seconds
