"""Eager and torch.compile on every task of a suite: what a candidate has to beat.

A task runs in a child of a process that has the compiler loaded, so that it costs no import.
Children compile side by side; then each is timed while all the others wait. The references are
trusted here: use `kernelmill.evaluate` for what is not.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from kernelmill.bench.result import Result
from kernelmill.bench.store import BenchStore
from kernelmill.search.environment import machine_facts
from kernelmill.tasks import Program, Suite, Task

BATCH = 8  # tasks compiled before they are timed
COMPILE_S = 240.0
TIME_S = 60.0
TARGET_S = 0.4  # how long one side is timed
RUNS = (7, 60)  # fewest and most timed calls of a side
SAMPLE = 0


def run(
    suite: Suite,
    store: BenchStore,
    *,
    label: str = "baseline",
    resume: str | None = None,
    workers: int = 2,
    threads: int | None = None,
    progress: Callable[[Result], None] = lambda result: None,
) -> str:
    """Time both on each task with fixed shapes and keep the results as they come; the run's id.

    The result of a task has platform ``inductor``: ``reference_ms`` is eager,
    ``candidate_ms`` torch.compile with its default options, ``seconds`` what compiling took.
    Where the compiler fails, its words are in ``message``; where its output differs from that of
    eager beyond ten times the float32 noise of the task, or the reference is random,
    ``code`` says so and the time is kept without a speed-up.

    Raises:
        ValueError: ``workers`` or ``threads`` is not positive.
        StoreError: the run cannot be gone on with.
    """
    threads = threads or len(os.sched_getaffinity(0))
    if workers < 1 or threads < 1:
        raise ValueError(f"workers and threads must be positive, got {workers} and {threads}")
    if resume:
        run_id = store.claim(resume, suite).id
    else:
        config = {"kind": "baseline", "threads": threads, "machine": machine_facts()}
        run_id = store.create_run(suite, label, config)
    done = {result.task for result in store.results(run_id)}
    todo = [task for task in suite if task.name not in done]
    if todo:
        _load_compiler()
    for start in range(0, len(todo), BATCH):
        for result in _batch(todo[start : start + BATCH], workers, threads):
            store.add(run_id, result)
            progress(result)
    store.finish(run_id)
    return run_id


def baselines(store: BenchStore, run: str = "baseline") -> dict[str, Result]:
    """Task name to its result of a run of baselines (id or label)."""
    return {result.task: result for result in store.results(run)}


def _load_compiler() -> None:
    """What a child would import otherwise. Nothing may be computed here: threads do not survive
    a fork."""
    import torch._dynamo  # noqa: F401
    import torch._inductor.compile_fx
    import torch._inductor.graph
    import torch._inductor.scheduler  # noqa: F401

    torch._inductor.config.compile_threads = 1


@dataclass
class _Child:
    task: Task
    process: Any
    connection: Connection
    started: float
    result: Result | None = None
    compile_s: float = 0.0

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _batch(tasks: Sequence[Task], workers: int, threads: int) -> list[Result]:
    waiting, compiling, compiled = list(tasks), [], []
    finished: list[_Child] = []
    try:
        while waiting or compiling:
            while waiting and len(compiling) < workers:
                compiling.append(_start(waiting.pop(0), threads))
            ready = wait([child.connection for child in compiling], timeout=1.0)
            for child in list(compiling):
                if child.connection in ready:
                    _hear(child)
                elif time.monotonic() - child.started > COMPILE_S:
                    text = f"not compiled within {COMPILE_S:.0f} s"
                    child.result = _failure(child.task, "build", "timeout", text)
                else:
                    continue
                compiling.remove(child)
                (compiled if child.result is None else finished).append(child)
        for child in compiled:
            child.connection.send("go")
            if child.connection.poll(TIME_S):
                _hear(child)
            if child.result is None:
                text = f"not timed within {TIME_S:.0f} s"
                child.result = _failure(child.task, "timing", "timeout", text)
            finished.append(child)
            child.stop()  # its memory and its threads, before the next one is timed
    finally:
        for child in [*compiling, *compiled, *finished]:
            child.stop()
    order = {task.name: position for position, task in enumerate(tasks)}
    found = [child.result for child in finished if child.result is not None]
    return sorted(found, key=lambda result: order[result.task])


def _start(task: Task, threads: int) -> _Child:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(task, theirs, threads), daemon=True)
    process.start()
    theirs.close()
    return _Child(task, process, ours, time.monotonic())


def _hear(child: _Child) -> None:
    try:
        kind, value = child.connection.recv()
    except (EOFError, OSError):
        child.process.join(5)
        text = f"the process ended with code {child.process.exitcode}"
        child.result = _failure(child.task, "build", "crashed", text)
        return
    if kind == "compiled":
        child.compile_s = value
    else:
        child.result = Result.from_dict(value)


def _failure(task: Task, stage: str, code: str, message: str, **fields: Any) -> Result:
    return Result(
        task.name, task.category or "", "inductor", SAMPLE, stage=stage, code=code,
        message=message, **fields,
    )  # fmt: skip


def _child(task: Task, connection: Connection, threads: int) -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: ends with its parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        result = _measure(task, connection, threads)
    except Exception as error:
        words = str(error).strip().splitlines() or [type(error).__name__]
        text = f"{type(error).__name__}: {words[0]}"[:500]
        result = _failure(task, "build", "runtime_error", text)
    connection.send(("result", result.to_dict()))
    connection.close()


def _measure(task: Task, connection: Connection, threads: int) -> Result:
    import torch

    torch.set_num_threads(threads)
    program = Program(task)
    model = program.make_model(seed=1)
    inputs = program.make_inputs(seed=2)
    with torch.no_grad():
        start = time.perf_counter()
        compiled = torch.compile(model, dynamic=False)
        code, message = _difference(program, inputs, model, compiled)
        for _ in range(2):
            compiled(*inputs)
        seconds = time.perf_counter() - start
        connection.send(("compiled", seconds))
        connection.recv()
        eager_ms, compiled_ms = _race(lambda: model(*inputs), lambda: compiled(*inputs))
    agrees = code in ("", "random_reference")
    ratios = [e / c for e, c in zip(eager_ms, compiled_ms, strict=True)]
    return Result(
        task.name, task.category or "", "inductor", SAMPLE, True, agrees,
        statistics.median(ratios) if not code else None,
        status="accept" if agrees else "reject", stage="verdict" if agrees else "correctness",
        code=code, message=message,
        reference_ms=statistics.median(eager_ms), candidate_ms=statistics.median(compiled_ms),
        seconds=seconds,
    )  # fmt: skip


def _difference(program: Program, inputs: list, model: Any, compiled: Any) -> tuple[str, str]:
    """Does compiling change the answer? Both start from the same state and random numbers."""
    import copy

    import torch
    from torch.utils._pytree import tree_leaves

    def answer(function: Any, seed: int) -> list:
        state = copy.deepcopy(model.state_dict())
        torch.manual_seed(seed)
        found = tree_leaves(function(*copy.deepcopy(inputs)))
        model.load_state_dict(state)
        return [x.detach().clone() for x in found if isinstance(x, torch.Tensor)]

    eager, other, again = answer(model, 3), answer(model, 4), answer(compiled, 3)
    random = any(not torch.equal(a, b) for a, b in zip(eager, other, strict=True))
    if random:
        return "random_reference", "the reference draws random numbers when it runs"
    for position, (a, b) in enumerate(zip(eager, again, strict=True)):
        if not a.is_floating_point():
            equal = torch.equal(a, b)
        else:
            scale = a[a.isfinite()].abs().max().item() if a.isfinite().any() else 0.0
            equal = torch.allclose(a, b, rtol=1e-3, atol=1e-3 * scale, equal_nan=True)
        if not equal:
            return "wrong_values", f"output {position} of torch.compile differs from eager's"
    return "", ""


def _race(first: Callable[[], Any], second: Callable[[], Any]) -> tuple[list, list]:
    """Both in turn; milliseconds of each call."""
    start = time.perf_counter()
    first()
    second()
    pair = max(time.perf_counter() - start, 1e-7)
    count = int(min(max(2 * TARGET_S / pair, RUNS[0]), RUNS[1]))
    inner = max(int(1e-3 / pair), 1)  # short calls are timed several at once
    times: tuple[list, list] = ([], [])
    for _ in range(count):
        for function, found in zip((first, second), times, strict=True):
            start = time.perf_counter()
            for _ in range(inner):
                function()
            found.append((time.perf_counter() - start) / inner * 1e3)
    return times
