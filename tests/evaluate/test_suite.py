"""Every labelled cheat is refused for a reason of its label, and every honest kernel accepted.

By default each file is judged once, with timing where its trick needs the clock.
``KERNELMILL_SUITE=full`` judges everything with timing on five secret seeds.
"""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from kernelmill.bench.exploits import catalogue as suite
from kernelmill.evaluate import Judge, Settings

FULL = os.environ.get("KERNELMILL_SUITE") == "full"
ROUNDS = range(5) if FULL else range(1)
CHEATS, HONEST = suite.cases("cheats"), suite.cases("honest")
FAMILIES = {"values": 1, "stale": 2, "phase": 3, "late": 4, "tamper": 5, "nokernel": 6,
            "baseline": 7}  # fmt: skip


@pytest.fixture(scope="module")
def confusion(request):
    """Counts of (label, answer), printed when the last case is done."""
    counts: Counter = Counter()
    yield counts
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(
            f"\ncheats: {counts['caught']} caught, {counts['other']} refused for another reason, "
            f"{counts['missed']} missed; honest: {counts['accepted']} accepted, "
            f"{counts['refused']} refused"
        )


@pytest.fixture(scope="module", params=ROUNDS, ids=lambda n: f"seed{n}")
def judge(request):
    with Judge(Settings(threads=1)) as judge:
        yield judge


@pytest.fixture(scope="module")
def answers(judge, request):
    """Gives a case's evaluation. What needs no clock is judged ahead by two judges in parallel."""
    items = [i for i in request.session.items if getattr(i, "module", None) is request.module]
    specs = [getattr(item, "callspec", None) for item in items]
    chosen = {spec.params["case"] for spec in specs if spec is not None and "case" in spec.params}
    ahead = [case for case in sorted(chosen, key=lambda case: case.task_name) if not timed(case)]
    half = len(ahead) // 2 if not FULL else 0
    halves = [ahead[:half], ahead[half:]] if half else []

    def work(cases):
        with Judge(Settings(threads=1, timing=False)) as mine:
            return {case: mine.evaluate(case.task, case.candidate) for case in cases}

    with ThreadPoolExecutor(2) as pool:
        known = {case: answer for part in pool.map(work, halves) for case, answer in part.items()}

    def answer(case):
        if case in known:
            return known[case]
        return judge.evaluate(case.task, case.candidate, timing=timed(case))

    return answer


def timed(case):
    return FULL or "timing" in case.needs


def parameters(cases):
    for case in cases:
        marks = [pytest.mark.slow] if FULL or "slow" in case.needs else []
        yield pytest.param(case, id=case.name, marks=marks)


@pytest.mark.parametrize("case", list(parameters(CHEATS)))
def test_cheat_is_refused(case, answers, confusion):
    answer = answers(case)
    caught = case.caught(answer)
    missed = answer.status not in ("reject", "error")
    confusion["caught" if caught else "missed" if missed else "other"] += 1
    assert caught, f"wanted one of {sorted(case.expect)}, got {suite.describe(answer)}"


@pytest.mark.parametrize("case", list(parameters(HONEST)))
def test_honest_is_accepted(case, answers, confusion):
    answer = answers(case)
    confusion["accepted" if answer.accepted else "refused"] += 1
    assert answer.accepted, suite.describe(answer)


def test_suite_covers_every_family():
    families = Counter(case.family for case in CHEATS)
    assert set(families) == set(FAMILIES)
    assert min(families.values()) >= 10 and len(CHEATS) >= 70
    assert len(HONEST) >= 30
    assert all(case.expect and case.level for case in CHEATS)


def test_two_judges_draw_other_seeds():
    with Judge(Settings(timing=False)) as one, Judge(Settings(timing=False)) as other:
        assert one.seed != other.seed


@pytest.mark.parametrize(
    ("name", "verdicts"),
    [
        ("matmul", {"ok"}),
        ("softmax", {"ok"}),
        ("layer_norm", {"ok"}),
        ("relu_uniform", {"ok", "weak"}),
        ("untestable_zero", {"untestable"}),
        ("untestable_random", {"weak", "untestable"}),
        ("inplace", {"ok", "weak"}),
    ],
)
def test_problem_linter(name, verdicts, judge):
    report = judge.lint(suite.task(name))
    assert report.verdict in verdicts, [f"{f.code}: {f.message}" for f in report.findings]
