"""Interleaved timing: every worker in turn, fresh inputs, caches overwritten, outputs verified."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kernelmill.evaluate.evaluation import Timing
from kernelmill.evaluate.process import WorkerProcess

MIN_RUNS = 6
VERIFIED = 12
CALLS_PER_VISIT = 3
CLOCK_SLACK_NS = 500_000


class TimingFault(Exception):
    """Timing showed that something is wrong with worker ``index``."""

    def __init__(self, index: int, code: str, message: str):
        super().__init__(message)
        self.index, self.code, self.message = index, code, message


@dataclass
class Racer:
    """A worker that takes part, the slot to call, and what it has shown so far (ns)."""

    worker: WorkerProcess
    slot: str
    claimed: list[int] = field(default_factory=list)
    observed: list[int] = field(default_factory=list)
    verified: int = 0


def last_level_cache_bytes() -> int:
    """Size of the largest CPU cache, 32 MiB where the system does not say."""
    best = 0
    base = "/sys/devices/system/cpu/cpu0/cache"
    try:
        for name in os.listdir(base):
            with open(f"{base}/{name}/size") as file:
                text = file.read().strip()
            unit = {"K": 1 << 10, "M": 1 << 20}.get(text[-1:], 1)
            best = max(best, int(text.rstrip("KM")) * unit)
    except (OSError, ValueError):
        pass
    return best or 32 << 20


def race(
    racers: Sequence[Racer],
    cases: Sequence[dict[str, Any]],
    check: Callable[[int, dict[str, Any], dict[str, Any]], tuple[str, str] | None],
    *,
    runs: int,
    seconds: float,
    wall_s: float,
    rng: random.Random,
) -> None:
    """Time every racer in turn until ``runs`` rounds or ``seconds`` have passed.

    ``check(index, case, reply)`` judges the outputs of a timed call. Results stay in the racers.

    Raises:
        TimingFault: a timed output is wrong, or a racer's own clock disagrees with this one.
    """
    flush = 2 * last_level_cache_bytes()
    start = time.monotonic()
    for racer in racers:
        racer.worker.stop()
    try:
        for run in range(runs + 1):
            order = list(range(len(racers)))
            rng.shuffle(order)
            case = cases[rng.randrange(len(cases))]
            for index in order:
                racer = racers[index]
                left = runs + 1 - run
                verify = racer.verified < VERIFIED and (
                    left <= VERIFIED - racer.verified or run < 3 or rng.random() < 0.5
                )
                racer.worker.cont()
                visit = [
                    _timed_call(racer, case, verify and last, flush, wall_s)
                    for last in (False,) * (CALLS_PER_VISIT - 1) + (True,)
                ]
                racer.worker.stop()
                reply, claimed, observed = sorted(visit, key=lambda v: v[1])[len(visit) // 2]
                reply = visit[-1][0]
                if verify:
                    fault = check(index, case, reply)
                    if fault is not None:
                        raise TimingFault(index, *fault)
                    racer.verified += 1
                if run:  # the first round only warms up
                    racer.claimed.append(claimed)
                    racer.observed.append(observed)
            elapsed = time.monotonic() - start
            enough = run >= MIN_RUNS and min(r.verified for r in racers) >= min(VERIFIED, run)
            if enough and (elapsed > 4 * seconds or (elapsed > seconds and _settled(racers))):
                break
            if elapsed > 20 * seconds and run >= 3:
                break
    finally:
        for racer in racers:
            racer.worker.cont()
    for index, racer in enumerate(racers):
        _check_clock(index, racer)


def _timed_call(racer, case, verify, flush, wall_s):
    args = {
        "slot": racer.slot, "inputs": case["inputs"], "seed": case["call_seed"], "flush": flush,
        "verify": verify, "cotangents": case["cotangents"],
        "state": case["state"] if case["state_after"] else None,
    }  # fmt: skip
    nonce, deadline = racer.worker.send("timed", args, wall_s + 30)
    begun, t0 = racer.worker.byte(deadline)
    done, t1 = racer.worker.byte(time.monotonic() + wall_s)
    reply = racer.worker.receive(nonce, deadline)
    if begun != b"S" or done != b"D" or not isinstance(reply.get("ns"), int):
        raise TimingFault(-1, "protocol_error", "a timed call was not answered as agreed")
    return reply, reply["ns"], t1 - t0


def _settled(racers: Sequence[Racer]) -> bool:
    first = np.asarray(racers[0].claimed, dtype=float)
    for racer in racers[1:]:
        low, high = ratio_interval(first, np.asarray(racer.claimed, dtype=float), samples=200)
        if high - low > 0.05 * (high + low) / 2:
            return False
    return True


def _check_clock(index: int, racer: Racer) -> None:
    claimed, observed = np.asarray(racer.claimed), np.asarray(racer.observed)
    # Hidden work shows in every call; a late wake-up of this process does not.
    hidden = float(np.quantile(observed - claimed, 0.1))
    claimed, observed = float(np.median(claimed)), float(np.median(claimed)) + hidden
    if claimed < 0 or hidden > max(CLOCK_SLACK_NS, 0.35 * observed):
        raise TimingFault(
            index,
            "clock_mismatch",
            f"the candidate's process reports {claimed / 1e6:.3f} ms a call, the judge's own "
            f"clock says {observed / 1e6:.3f} ms",
        )


def ratio_interval(
    reference: np.ndarray, candidate: np.ndarray, samples: int = 2000
) -> tuple[float, float]:
    """95 % bootstrap interval of median(reference) / median(candidate) over pairs."""
    rng = np.random.default_rng(0)
    index = rng.integers(0, len(reference), (samples, len(reference)))
    ratios = np.median(reference[index], axis=1) / np.median(candidate[index], axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def summarise(reference: Racer, racer: Racer, floor_ms: float) -> Timing:
    first = np.asarray(reference.claimed, dtype=float)
    second = np.maximum(np.asarray(racer.claimed, dtype=float), 1.0)
    reference_ms, candidate_ms = float(np.median(first)) / 1e6, float(np.median(second)) / 1e6
    return Timing(
        reference_ms=reference_ms,
        candidate_ms=candidate_ms,
        ratio=reference_ms / candidate_ms,
        interval=ratio_interval(first, second),
        runs=len(racer.claimed),
        floor_ms=floor_ms,
    )
