"""Two runs of the same suite: what was gained, what was lost, and is that more than noise?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kernelmill.bench.metrics import bootstrap, geometric_mean
from kernelmill.bench.result import Result

THRESHOLD = 0.05
LOST, GAINED, SLOWER, FASTER, SAME = "lost", "gained", "slower", "faster", "same"


@dataclass(frozen=True)
class Change:
    """What became of a task (on a platform) between two runs.

    ``kind``: ``lost`` and ``gained`` are of correctness; ``slower`` and ``faster`` of the
    speed-up, where it changed by more than the threshold and the two 95 % intervals are apart.
    ``factor``: new speed-up / old speed-up, where both were timed.
    """

    task: str
    platform: str
    kind: str
    old: Result | None
    new: Result | None
    factor: float | None = None


@dataclass(frozen=True)
class Comparison:
    """All changes with their summary.

    Attributes:
        geomean: of the factors, ``interval``: its 95 % bootstrap interval over tasks; NaN where no
            task was timed in both runs.
        p_value: of the exact McNemar test that as many tasks were gained as lost.
    """

    changes: tuple[Change, ...]
    geomean: float
    interval: tuple[float, float]
    p_value: float

    @property
    def regressions(self) -> list[Change]:
        return [change for change in self.changes if change.kind in (LOST, SLOWER)]

    def count(self, kind: str) -> int:
        return sum(change.kind == kind for change in self.changes)

    def to_dict(self) -> dict[str, Any]:
        kinds = (LOST, SLOWER, FASTER, GAINED, SAME)
        return {
            **{kind: self.count(kind) for kind in kinds},
            "geomean": self.geomean,
            "interval": self.interval,
            "p_value": self.p_value,
            "changes": [
                {
                    "task": c.task,
                    "platform": c.platform,
                    "kind": c.kind,
                    "factor": c.factor,
                    "old": c.old.speedup if c.old else None,
                    "new": c.new.speedup if c.new else None,
                    "reason": c.new.message if c.new and c.kind == LOST else "",
                }
                for c in self.changes
                if c.kind != SAME
            ],
        }


def compare(
    old: Sequence[Result], new: Sequence[Result], threshold: float = THRESHOLD
) -> Comparison:
    """The best sample of each (task, platform) of two runs side by side.

    A task that is in one run only counts as not solved in the other.

    Args:
        threshold: relative change of the speed-up below which nothing is said.

    Raises:
        ValueError: ``threshold`` is not in [0, 1), or the runs share no task.

    Example:
        >>> a = [Result("t", "x", "cpp", 0, True, True, 2.0, interval=(1.9, 2.1))]
        >>> b = [Result("t", "x", "cpp", 0, True, True, 1.0, interval=(0.9, 1.1))]
        >>> compare(a, b).regressions[0].kind
        'slower'
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold must be in [0, 1), got {threshold}")
    before, after = _best(old), _best(new)
    if not set(before) & set(after):
        raise ValueError("the two runs have no task on a platform in common")
    changes = []
    for key in sorted({**before, **after}):
        changes.append(_change(key, before.get(key), after.get(key), threshold))
    factors = [change.factor for change in changes if change.factor is not None]
    mean = geometric_mean(factors)
    logs = [math.log(factor) for factor in factors]
    interval = bootstrap(logs) if logs else (math.nan, math.nan)
    counts = [sum(c.kind == kind for c in changes) for kind in (GAINED, LOST)]
    return Comparison(
        tuple(changes), mean, (math.exp(interval[0]), math.exp(interval[1])), mcnemar(*counts)
    )


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided exact p of ``gained`` against ``lost`` under equal chances.

    Example:
        >>> mcnemar(0, 0), mcnemar(0, 6)
        (1.0, 0.03125)
    """
    total = gained + lost
    tail = sum(math.comb(total, i) for i in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / 2**total)


def _best(results: Sequence[Result]) -> dict[tuple[str, str], Result]:
    found: dict[tuple[str, str], Result] = {}
    for result in results:
        key = (result.task, result.platform)
        if key not in found or rank(result) > rank(found[key]):
            found[key] = result
    return found


def rank(result: Result) -> tuple[bool, float]:
    """Right before wrong, fast before slow."""
    return (result.correct, result.speedup or 0.0)


def _change(
    key: tuple[str, str], old: Result | None, new: Result | None, threshold: float
) -> Change:
    was, now = bool(old and old.correct), bool(new and new.correct)
    if was != now:
        return Change(*key, GAINED if now else LOST, old, new)
    if not (old and new and was and old.speedup and new.speedup):
        return Change(*key, SAME, old, new)
    factor = new.speedup / old.speedup
    kind = SAME
    if factor < 1 - threshold and _apart(new, old):
        kind = SLOWER
    elif factor > 1 / (1 - threshold) and _apart(old, new):
        kind = FASTER
    return Change(*key, kind, old, new, factor)


def _apart(low: Result, high: Result) -> bool:
    """Is the interval of one wholly below that of the other? Without intervals: yes."""
    if low.interval is None or high.interval is None:
        return True
    return low.interval[1] < high.interval[0]
