"""MultiKernelBench's published percentages, recomputed from whole numbers of tasks.

The benchmark's authors publish percentages, not result files. Every percentage is a number of
tasks over 285; three of the tables are tied to each other: totals over the platforms, and the
table by category. All numbers are those of the paper, by way of its dossier.
"""

import pytest

from kernelmill.bench.metrics import Score
from kernelmill.bench.result import Result
from kernelmill.tasks.suites import CATEGORIES, load_suite

TASKS = {task.name: task.category for task in load_suite("multikernelbench")}
# One greedy sample on CUDA: Compilation@1, Pass@1, SpeedUp_1@1 in percent.
CUDA = {
    "DeepSeek-V3": (74.7, 21.4, 6.3),
    "Qwen3-235B": (66.3, 22.5, 5.3),
    "Qwen2.5-Coder": (66.0, 15.8, 3.5),
    "GPT-4o": (97.5, 23.2, 5.3),
    "Claude-Sonnet-4": (92.3, 47.0, 20.4),
    "DeepSeek-R1": (75.4, 52.6, 26.0),
    "Qwen3-235B thinking": (79.3, 44.2, 19.3),
}
# Pass@1 by category, averaged over the three best models.
BY_CATEGORY = {
    "activation": 88.9, "reduce": 86.7, "broadcast": 83.3, "normalization": 75.0, "matmul": 74.5,
    "optimizer": 66.7, "index": 61.1, "fuse": 52.7, "math": 50.0, "loss": 47.6, "resize": 46.7,
    "pooling": 38.9, "arch": 21.3, "convolution": 13.7,
}  # fmt: skip
BEST = ("Claude-Sonnet-4", "DeepSeek-R1", "Qwen3-235B thinking")


def tasks_of(percent, total=285):
    """The one number of tasks whose share rounds to a percentage."""
    fitting = [n for n in range(total + 1) if f"{100 * n / total:.1f}" == f"{percent:.1f}"]
    assert len(fitting) == 1, (percent, fitting)
    return fitting[0]


def percent(share):
    return float(f"{100 * share:.1f}")


@pytest.mark.parametrize("model", CUDA)
def test_every_percentage_is_a_number_of_tasks_and_comes_back(model):
    compiled, correct, fast = map(tasks_of, CUDA[model])
    results = [
        Result(task, category, "cuda", 0, i < compiled, i < correct, 1.0 if i < fast else 0.5)
        for i, (task, category) in enumerate(TASKS.items())
        if i % 7 or i < compiled  # some that failed are not even answered: they count the same
    ]
    score = Score(TASKS, results)
    assert percent(score.compilation_at(1)) == CUDA[model][0]
    assert percent(score.pass_at(1)) == CUDA[model][1]
    assert percent(score.speedup_at(1.0, 1)) == CUDA[model][2]  # exactly 1 is fast enough here
    assert score.fast_p(1.0) == 0  # and not for KernelBench


def test_five_samples_of_three_platforms_sum_to_the_published_total():
    """Claude: Pass@5 55.8 (CUDA), 3.9 (Ascend C), 10.5 (Pallas); 200 of 855."""
    share = {"cuda": 55.8, "ascendc": 3.9, "pallas": 10.5}
    results = []
    for platform, value in share.items():
        for i, (task, category) in enumerate(TASKS.items()):
            for sample in range(5):
                good = i < tasks_of(value) and sample == i % 5  # one of the five is right
                results.append(Result(task, category, platform, sample, good, good))
    parts = Score(TASKS, results).by_platform()
    assert {name: percent(part.pass_at(5)) for name, part in parts.items()} == share
    assert sum(round(part.pass_at(5) * 285) for part in parts.values()) == 200
    # the unbiased estimate for one sample of five, one of which is right
    assert parts["cuda"].pass_at(1) == pytest.approx(tasks_of(55.8) / 285 / 5)


def test_the_table_by_category_belongs_to_the_three_best_models():
    """One sample of each of three models: their shares by category, and the sum of their passes."""
    sizes = {c: sum(category == c for category in TASKS.values()) for c in CATEGORIES}
    results = []
    for category, value in BY_CATEGORY.items():
        left = tasks_of(value, 3 * sizes[category])
        for sample in range(3):
            for task in [t for t, c in TASKS.items() if c == category]:
                good = left > 0
                left -= good
                results.append(Result(task, category, "cuda", sample, good, good))
    score = Score(TASKS, results)
    found = {name: percent(part.pass_at(1)) for name, part in score.by_category().items()}
    assert found == BY_CATEGORY
    passes = sum(tasks_of(CUDA[model][1]) for model in BEST)
    assert round(score.pass_at(1) * 3 * 285) == passes == 410
    # small categories are the easy ones: their plain mean is far above that over tasks
    assert percent(score.macro(lambda part: part.pass_at(1))) == 57.6
    assert percent(score.pass_at(1)) == 48.0
