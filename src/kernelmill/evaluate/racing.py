"""The final heat: the reference and any number of candidates, timed in turn."""

from __future__ import annotations

import random
from typing import Any

from kernelmill.evaluate.evaluation import Reason, Timing
from kernelmill.evaluate.process import Refused, WorkerDied
from kernelmill.evaluate.session import TaskSession
from kernelmill.evaluate.timing import Racer, TimingFault, race, summarise
from kernelmill.evaluate.trial import Rejected, Trial

ATTEMPTS = 3


def race_trials(trials: list[Trial], session: TaskSession, settings: Any) -> list[Timing]:
    """Time the reference and all trials in turn, on the same inputs, each seen once."""
    reference = session.reference_racer()
    base = session.timing_base(all(t.copied for t in trials))
    for op, args in (
        ("load_state", {"state": base["state"]}),
        ("warm", {"inputs": base["inputs"], "budget_s": 0.05}),
        ("load_state", {"state": base["state"]}),
    ):
        reference.request(op, seconds=settings.build_s, slot="a", **args)
    answers: dict[str, dict[str, Any]] = {}

    def check(index: int, case: dict[str, Any], reply: dict[str, Any]) -> Any:
        if case["name"] not in answers:
            answers.clear()
            answers[case["name"]] = session.answered(case)
        return trials[index - 1].check_timed(answers[case["name"]], reply)

    rng = random.Random(session.derive("race"))
    limits = {"runs": settings.runs, "seconds": settings.min_time_s, "wall_s": settings.wall_s}
    try:
        for attempt in range(ATTEMPTS):
            racers = [Racer(reference, "a"), *(t.prepare_race(base) for t in trials)]
            try:
                race(racers, lambda: session.fresh(base), check, rng=rng, **limits)
                break
            except TimingFault as fault:
                # a busy machine can look like hidden work, but not again and again
                if fault.code != "clock_mismatch" or attempt == ATTEMPTS - 1:
                    raise
    except TimingFault as fault:
        raise Rejected(Reason(fault.code, fault.message, {"racer": fault.index})) from None
    except Refused as refused:
        raise Rejected(Reason(refused.code, refused.message, refused.evidence)) from None
    except WorkerDied as died:
        raise Rejected(Reason(died.code, died.message)) from None
    return [summarise(racers[0], r, 0.0) for r in racers[1:]]
