"""What a benchmark's results amount to: compilation, correctness and speed-up at k samples.

Every task of the suite counts in every denominator, whether it was answered or not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernelmill.bench.result import Result


def pass_at_k(n: int, c: int, k: int) -> float:
    """Probability that at least one of k samples is right, if c of n are: the unbiased estimate
    ``1 - C(n - c, k) / C(n, k)`` (Chen et al. 2021, equation 1).

    Raises:
        ValueError: not 0 <= c <= n, or not 1 <= k <= n.

    Example:
        >>> pass_at_k(5, 2, 1), pass_at_k(4, 2, 3)
        (0.4, 1.0)
    """
    if not 0 <= c <= n:
        raise ValueError(f"c must be between 0 and n, got c={c}, n={n}")
    if not 1 <= k <= n:
        raise ValueError(f"k must be between 1 and the number of samples, got k={k}, n={n}")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def geometric_mean(ratios: Iterable[float]) -> float:
    """exp(mean(log r)); NaN of nothing.

    Raises:
        ValueError: a ratio is not positive.

    Example:
        >>> geometric_mean([1.0, 4.0])
        2.0
    """
    values = list(ratios)
    if any(not value > 0 for value in values):
        raise ValueError(f"ratios must be positive, got {min(values)}")
    if not values:
        return math.nan
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def speedup_over_configurations(
    reference_ms: Sequence[float], candidate_ms: Sequence[float]
) -> tuple[float, float]:
    """robust-kbench's speed-up of one task over its configurations, ratio of the mean times,
    which the slowest configuration decides, and beside it the geometric mean of the ratios.

    Raises:
        ValueError: the lists differ in length or are empty.

    Example:
        >>> speedup_over_configurations([1.0, 100.0], [0.25, 100.0])
        (1.00748..., 2.0)
    """
    if len(reference_ms) != len(candidate_ms) or not reference_ms:
        raise ValueError(
            "reference_ms and candidate_ms want one time per configuration, got "
            f"{len(reference_ms)} and {len(candidate_ms)}"
        )
    ratios = [r / c for r, c in zip(reference_ms, candidate_ms, strict=True)]
    return math.fsum(reference_ms) / math.fsum(candidate_ms), geometric_mean(ratios)


Sample = Callable[[Result], bool]


def _is_compiled(result: Result) -> bool:
    return result.compiled


def _is_correct(result: Result) -> bool:
    return result.correct


def _is_fast(alpha: float, strict: bool) -> Sample:
    def check(result: Result) -> bool:
        if not result.correct or result.speedup is None:
            return False
        return result.speedup > alpha if strict else result.speedup >= alpha

    return check


@dataclass(frozen=True)
class Score:
    """Results against the tasks of a suite.

    Args:
        tasks: task name to category: what counts, answered or not.
        results: the samples.

    Shares are between 0 and 1. ``k`` may not exceed the number of samples of any task that was
    answered; a task without a sample counts as failed.

    Example:
        >>> made = [Result("a", "x", "cpp", 0, True, True, 1.5), Result("b", "x", "cpp", 0, True)]
        >>> score = Score({"a": "x", "b": "x", "never": "y"}, made)
        >>> [round(value, 3) for value in (score.compilation_at(1), score.pass_at(1))]
        [0.667, 0.333]
        >>> round(score.fast_p(1.5), 3), round(score.speedup_at(1.5, 1), 3)
        (0.0, 0.333)
    """

    tasks: Mapping[str, str]
    results: Sequence[Result]
    _by_task: dict[str, list[Result]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError("tasks must name at least one task")
        by_task: dict[str, list[Result]] = {name: [] for name in self.tasks}
        for result in self.results:
            if result.task not in by_task:
                raise ValueError(f"a result is of task {result.task!r}, which is not in tasks")
            by_task[result.task].append(result)
        object.__setattr__(self, "_by_task", by_task)

    def per_task(self, good: Sample, k: int) -> dict[str, float]:
        """The unbiased estimate for each task that one of k samples is good."""
        found = {}
        for name, samples in self._by_task.items():
            count = len(samples)
            if not count:
                found[name] = 0.0
                if k < 1:
                    raise ValueError(f"k must be at least 1, got {k}")
            else:
                found[name] = pass_at_k(count, sum(map(good, samples)), k)
        return found

    def _share(self, good: Sample, k: int) -> float:
        values = self.per_task(good, k)
        return math.fsum(values.values()) / len(values)

    def compilation_at(self, k: int = 1) -> float:
        """Compilation@k: at least one of k samples is built."""
        return self._share(_is_compiled, k)

    def pass_at(self, k: int = 1) -> float:
        """Pass@k: at least one of k samples is correct."""
        return self._share(_is_correct, k)

    def speedup_at(self, alpha: float = 1.0, k: int = 1) -> float:
        """SpeedUp_alpha@k of MultiKernelBench: one of k is correct with a ratio >= alpha."""
        return self._share(_is_fast(alpha, strict=False), k)

    def fast_p(self, p: float = 1.0) -> float:
        """fast_p of KernelBench: correct with a ratio > p, of one sample per task (the mean over
        samples where there are several). ``fast_p(0)`` is the rate of correct and timed ones."""
        return self._share(_is_fast(p, strict=True), 1)

    def fast_curve(self, ps: Sequence[float] = (0, 0.5, 0.8, 1, 1.5, 2)) -> dict[float, float]:
        """fast_p at several p."""
        return {p: self.fast_p(p) for p in ps}

    def best(self) -> dict[str, Result]:
        """The fastest correct and timed sample of each task that has one."""
        found: dict[str, Result] = {}
        for name, samples in self._by_task.items():
            timed = [r for r in samples if r.correct and r.speedup is not None]
            if timed:
                found[name] = max(timed, key=lambda r: r.speedup or 0.0)
        return found

    def geomean_speedup(self, faster_only: bool = False) -> float:
        """Geometric mean of the best ratio of each solved task; ``faster_only``: of those > 1."""
        ratios = [r.speedup for r in self.best().values() if r.speedup is not None]
        return geometric_mean(r for r in ratios if not faster_only or r > 1)

    def by_category(self) -> dict[str, Score]:
        """A score for each category, in the order of the tasks."""
        names: dict[str, dict[str, str]] = {}
        for task, category in self.tasks.items():
            names.setdefault(category, {})[task] = category
        return {
            category: Score(chosen, [r for r in self.results if r.task in chosen])
            for category, chosen in names.items()
        }

    def by_platform(self) -> dict[str, Score]:
        """A score for each platform, over all the tasks."""
        platforms = sorted({result.platform for result in self.results})
        return {
            name: Score(self.tasks, [r for r in self.results if r.platform == name])
            for name in platforms
        }

    def macro(self, metric: Callable[[Score], float]) -> float:
        """The mean of a metric over categories instead of tasks."""
        values = [metric(score) for score in self.by_category().values()]
        return math.fsum(values) / len(values)

    def failures(self) -> dict[tuple[str, str], int]:
        """(stage, reason code) of what was not correct, most frequent first."""
        counts: dict[tuple[str, str], int] = {}
        for result in self.results:
            if not result.correct:
                key = (result.stage, result.code)
                counts[key] = counts.get(key, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    def samples(self) -> int:
        """The largest k that every answered task allows; 0 where none was answered."""
        counts = [len(samples) for samples in self._by_task.values() if samples]
        return min(counts, default=0)

    def to_dict(self, ks: Sequence[int] | None = None) -> dict[str, Any]:
        """The headline numbers with 95 % intervals."""
        most = self.samples()
        chosen = [k for k in (ks or (1, 5, 10)) if k <= most]
        rows: dict[str, Any] = {"tasks": len(self.tasks), "samples": len(self.results)}
        for k in chosen:
            rows[f"compilation@{k}"] = self._interval(_is_compiled, k)
            rows[f"pass@{k}"] = self._interval(_is_correct, k)
            rows[f"speedup_1@{k}"] = self._interval(_is_fast(1.0, strict=False), k)
        rows["fast_p"] = {str(p): value for p, value in self.fast_curve().items()} if most else {}
        rows["geomean"] = self.geomean_speedup()
        rows["geomean_faster"] = self.geomean_speedup(faster_only=True)
        return rows

    def _interval(self, good: Sample, k: int) -> dict[str, Any]:
        values = list(self.per_task(good, k).values())
        return {"value": math.fsum(values) / len(values), "interval": bootstrap(values)}


def bootstrap(
    values: Sequence[float],
    statistic: Callable[[Any], Any] | None = None,
    *,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of a statistic, by drawing tasks with replacement.

    Args:
        values: one per task. statistic: of an array (draws, n) over its last axis; the mean.
        draws, level, seed: how many, how wide, and from where.

    Raises:
        ValueError: there is no value.

    Example:
        >>> bootstrap([1.0, 1.0, 1.0])
        (1.0, 1.0)
    """
    import numpy as np

    data = np.asarray(values, dtype=float)
    if data.size == 0:
        raise ValueError("values must have at least one element")
    rng = np.random.default_rng(seed)
    drawn = data[rng.integers(0, data.size, (draws, data.size))]
    found = drawn.mean(axis=-1) if statistic is None else np.asarray(statistic(drawn))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
