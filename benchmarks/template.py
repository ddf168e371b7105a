"""The template proposer beside eager and compiled PyTorch, on every example task.

    python benchmarks/template.py [--threads 2] [--runs 25] [--drafts] [NAME or FILE ...]

Correctness first (against float64, on the task's own inputs), then interleaved runs; medians.
"""

from __future__ import annotations

import argparse
import copy
import logging
import statistics
import sys
import time
import warnings
from pathlib import Path

import torch

from kernelmill.search.proposers.template import _graph, drafts
from kernelmill.tasks import Task
from kernelmill.tasks.program import Program

TASKS = Path(__file__).parents[1] / "examples" / "tasks"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=25)
    parser.add_argument("--drafts", action="store_true", help="every first draft, best one shown")
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.ERROR)
    files = [Path(t) if t.endswith(".py") else TASKS / f"{t}.py" for t in options.tasks]
    print(f"torch {torch.__version__}, {options.threads} threads, medians of {options.runs} ms")
    print(
        f"{'task':28}{'eager':>9}{'compile':>9}{'template':>9}{'/eager':>8}{'/compile':>9}  error"
    )
    for file in files or sorted(TASKS.glob("*.py")):
        print(row(file, options), flush=True)


def row(file: Path, options: argparse.Namespace) -> str:
    task = Task.from_file(file)
    program = Program(task, register=False)
    model, inputs = program.make_model(seed=0), program.make_inputs(seed=1)
    graph = _graph(task, "cpu")
    candidates = {}
    for schedule in drafts(task) if graph else ():
        candidate = graph.candidate(schedule)
        if candidate and candidate.source not in [c.source for c in candidates.values()]:
            candidates[candidate.name] = candidate
        if candidate is None or not options.drafts:
            break
    if not candidates:
        return f"{file.stem:28} no candidate"
    functions = {"eager": model}
    torch._dynamo.reset()
    if not options.no_compile:
        functions["compile"] = torch.compile(model)
    with torch.no_grad():
        error = 0.0
        for name, candidate in candidates.items():
            functions[name] = new = built(candidate, program, model)
            error = max(error, relative_error(model, new, inputs))
        times = race(functions, inputs, options.runs)
    best = min(candidates, key=lambda n: times[n])
    eager, compiled, own = times["eager"], times.get("compile", float("nan")), times[best]
    return (
        f"{file.stem:28}{eager:9.3f}{compiled:9.3f}{own:9.3f}{eager / own:8.2f}"
        f"{compiled / own:9.2f}  {error:.1e}  {best}"
    )


def built(candidate, program: Program, model) -> torch.nn.Module:
    namespace: dict = {"__name__": "candidate"}
    exec(compile(candidate.source, "<candidate>", "exec"), namespace)
    new = namespace["ModelNew"](*program.init_inputs(seed=0))
    new.load_state_dict(model.state_dict())
    return new.train(model.training)


def relative_error(model, new, inputs) -> float:
    wide = copy.deepcopy(model).double()
    exact = wide(*(t.double() if _is_float(t) else t for t in inputs))
    found = new(*inputs)
    pairs = zip(_tensors(exact), _tensors(found), strict=True)
    return max(
        float((a.double() - b.double()).abs().max() / a.double().abs().max().clamp(min=1e-30))
        for a, b in pairs
    )


def race(functions, inputs, runs: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        for _ in range(2):
            function(*inputs)
    for _ in range(runs):
        for name, function in functions.items():
            start = time.perf_counter()
            result = function(*inputs)
            times[name].append(1e3 * (time.perf_counter() - start))
            del result
    return {name: statistics.median(values) for name, values in times.items()}


def _is_float(value) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _tensors(structure) -> list[torch.Tensor]:
    leaves = torch.utils._pytree.tree_flatten(structure)[0]
    return [t for t in leaves if isinstance(t, torch.Tensor)]


if __name__ == "__main__":
    sys.exit(main())
