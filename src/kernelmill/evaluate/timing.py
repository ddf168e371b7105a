"""Interleaved timing: every worker in turn, fresh inputs, caches overwritten, outputs verified."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from kernelmill.evaluate.evaluation import Timing
from kernelmill.evaluate.process import WorkerDied, WorkerProcess

MIN_RUNS = 6
VERIFIED_SHARE = 0.4
CALLS_PER_VISIT = 3
SLACK_NS, SLACK_SHARE = 120_000, 0.2


class TimingFault(Exception):
    """Timing showed that something is wrong with worker ``index``."""

    def __init__(self, index: int, code: str, message: str):
        super().__init__(message)
        self.index, self.code, self.message = index, code, message


@dataclass
class Racer:
    """A worker that takes part, the slot to call, and what it has shown so far (ns):
    ``claimed`` by its own clock; ``beyond`` and ``beyond_warm``: how much longer the judge waited
    than was claimed, with caches overwritten and without."""

    worker: WorkerProcess
    slot: str
    claimed: list[float] = field(default_factory=list)
    beyond: list[int] = field(default_factory=list)
    beyond_warm: list[int] = field(default_factory=list)
    warm: list[int] = field(default_factory=list)


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
    fresh: Callable[[], dict[str, Any]],
    check: Callable[[int, dict[str, Any], dict[str, Any]], tuple[str, str] | None],
    *,
    runs: int,
    seconds: float,
    wall_s: float,
    rng: random.Random,
) -> None:
    """Time every racer in turn until ``runs`` rounds or ``seconds`` have passed.

    ``fresh()`` makes inputs that no racer has seen; in a round all racers get the same. After a
    visit its fastest call counts (the others met an interruption of the machine), and
    ``check(index, case, reply)`` judges the outputs of just that one.
    Results stay in the racers. Racer 0 is the reference, whose protocol cost is the measure of
    everyone's.

    Raises:
        TimingFault: a timed output is wrong, or a racer's own clock disagrees with this one.
    """
    flush = last_level_cache_bytes() * 5 // 4  # twice as much is up to 17 % colder and slower
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # OpenMP threads of this process would spin beside the racers
    start = time.monotonic()
    for racer in racers:
        racer.worker.stop()
    try:
        for run in range(runs + 1):
            order = list(range(len(racers)))
            rng.shuffle(order)
            cases = [fresh() for _ in range(CALLS_PER_VISIT)]
            warm_at = rng.randrange(CALLS_PER_VISIT + 1)
            warm_case = fresh()
            for index in order:
                racer = racers[index]
                racer.worker.cont()
                claims = []
                for number in range(CALLS_PER_VISIT + 1):
                    if number == warm_at:
                        claimed, beyond = _timed_call(racer, warm_case, 0, wall_s)
                        if run:
                            racer.warm.append(claimed)
                            racer.beyond_warm.append(beyond)
                    if number < CALLS_PER_VISIT:
                        claimed, beyond = _timed_call(racer, cases[number], flush, wall_s)
                        claims.append(claimed)
                        if run:
                            racer.beyond.append(beyond)
                # which rounds are verified is not to be foreseen, the last ones included
                if index and (run < 2 or rng.random() < VERIFIED_SHARE):
                    # the call that counts is the one to check; where the warm one came is known
                    chosen = claims.index(min(claims))
                    place = chosen + (warm_at <= chosen)
                    reply = racer.worker.request("timed_output", seconds=wall_s, index=place)
                    fault = check(index, cases[chosen], reply)
                    if fault is not None:
                        raise TimingFault(index, *fault)
                racer.worker.request("forget", seconds=wall_s)
                racer.worker.stop()
                if run:  # the first round only warms up
                    racer.claimed.append(float(min(claims)))
            elapsed = time.monotonic() - start
            enough = run >= MIN_RUNS
            if enough and (elapsed > 4 * seconds or (elapsed > seconds and _settled(racers))):
                break
            if elapsed > 20 * seconds and run >= 3:
                break
    finally:
        torch.set_num_threads(threads)
        for racer in racers:
            racer.worker.cont()
    for index, racer in enumerate(racers[1:], start=1):
        _check_clock(index, racers[0], racer)


def _timed_call(racer: Racer, case: dict[str, Any], flush: int, wall_s: float) -> tuple[int, int]:
    """(ns that the racer claims, ns that passed here beyond that from its start to its answer).

    What comes before the start is not counted: it takes longer where a compiled candidate's own
    OpenMP threads still spin, and hiding work there takes functions that the worker keeps sealed.
    """
    args = {
        "slot": racer.slot, "inputs": case["inputs"], "seed": case["call_seed"], "flush": flush,
        "cotangents": case["cotangents"], "state": case["timed_state"],
    }  # fmt: skip
    nonce, deadline = racer.worker.send("timed", args, wall_s + 30)
    begun, start = racer.worker.byte(deadline)
    done, _ = racer.worker.byte(time.monotonic() + wall_s)
    reply = racer.worker.receive(nonce, deadline)
    passed = time.perf_counter_ns() - start
    claimed = reply.get("ns") if isinstance(reply, dict) else None
    if begun != b"S" or done != b"D" or type(claimed) is not int or claimed < 0:
        raise WorkerDied("protocol_error", "a timed call was not answered as agreed")
    return claimed, passed - claimed


def _settled(racers: Sequence[Racer]) -> bool:
    first = np.asarray(racers[0].claimed, dtype=float)
    for racer in racers[1:]:
        low, high = ratio_interval(first, np.asarray(racer.claimed, dtype=float), samples=200)
        if high - low > 0.05 * (high + low) / 2:
            return False
    return True


def _check_clock(index: int, reference: Racer, racer: Racer) -> None:
    """Work that is hidden from the racer's own clock shows in the judge's, call for call, beside
    what the same protocol costs the reference. Low quantiles: a late wake-up is no evidence."""
    for name in ("beyond", "beyond_warm"):
        mine, theirs = (np.quantile(getattr(r, name), 0.2) for r in (racer, reference))
        spread = float(np.quantile(getattr(reference, name), 0.6) - theirs)
        hidden = float(mine - theirs)
        normal = float(np.median(reference.claimed if name == "beyond" else reference.warm))
        if hidden > max(SLACK_NS, SLACK_SHARE * normal, 2 * spread):
            raise TimingFault(
                index,
                "clock_mismatch",
                f"the candidate's process reports {np.median(racer.claimed) / 1e6:.3f} ms a call, "
                f"but the judge waits {hidden / 1e6:.3f} ms longer for it than for the reference",
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
