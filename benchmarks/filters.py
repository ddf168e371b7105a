"""The flags of weak tasks, found again: our filters beside the published tables.

    python benchmarks/filters.py [--table robust-kbench] [--category activation ...]

``multikernelbench``: what passes for an answer, every task that its table says was scanned, at
today's shapes. ``robust-kbench``: the four numeric filters of its ports of KernelBench v0, at
the paper's shapes and initialised as the ports are. Batches are made smaller where memory asks
for it. Prints where flags differ and why; what is in the file is not computed again. Exit code 1:
a difference without a reason.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

from kernelmill.bench.weakness import review
from kernelmill.tasks import Program, Task, TaskError
from kernelmill.tasks.suites import CATEGORIES, load_suite

DATA = Path(__file__).parents[1] / "tests" / "data"
RESULTS = Path(__file__).parent / "results"
NUMERIC = {
    "output_range": "range", "output_std": "std", "output_axes": "axes", "input_impact": "input",
}  # fmt: skip
# Outputs or inputs of gigabytes and no batch: other extents are cut.
SMALLER = {
    "matrix_scalar_multiplication": {"rows": 4096},
    "matrix_vector_multiplication": {"k": 131072},
    "matmul_with_small_k_dimension": {"m": 4096, "n": 4096},
    "four_dim_tensor_matrix_multiplication": {"rows": 16, "columns": 16, "depth": 16, "n": 16},
    "tall_skinny_matrix_multiplication": {"m": 4096, "n": 4096},
}
# Why flags differ from a table's, one by one. Both sides of each are in docs/explain/filters.md.
DRAW = "of the draw"
REASONS: dict[tuple[str, str], str] = {
    ("multikernelbench", "conv2d_avg_pool_sigmoid_sum"): DRAW,
    ("multikernelbench", "conv_transpose2d_add_min_gelu_multiply"): DRAW,
    ("multikernelbench", "conv_transpose3d_log_sum_exp_hard_swish_subtract_clamp_max"): DRAW,
    ("multikernelbench", "convtranspose3d_mean_add_softmax_tanh_scaling"): DRAW,
    ("multikernelbench", "kl_div_loss"): DRAW,
    ("multikernelbench", "triplet_margin_loss"): "of the batch",
    ("robust-kbench", "matmul_subtract_multiply_relu"): DRAW,
    ("robust-kbench", "conv3d_group_norm_mean"): DRAW,
    ("robust-kbench", "conv3d_group_norm_min_clamp_dropout"): "the port has no minimum",
    (
        "robust-kbench",
        "conv_transpose2d_multiply_global_avg_pool_global_avg_pool_mean",
    ): "the port takes the mean of all",
    ("robust-kbench", "conv_transpose3d_avg_pool_clamp_softmax_multiply"): DRAW,
    ("robust-kbench", "conv_transpose3d_max_pool_softmax_subtract_swish_max"): DRAW,
    (
        "robust-kbench",
        "conv_transpose3d_scale_batch_norm_global_avg_pool",
    ): "the port's norm begins beside 1 and 0",
}


def published(table: str) -> dict[str, set[str]]:
    """Flags by task, of the tasks that the table says were examined."""
    with open(DATA / "multikernelbench-tasks.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if table == "multikernelbench":
        scanned = [row for row in rows if row["scanned"] == "yes"]
        return {r["task"]: set(filter(None, r["weak_output_flags"].split("|"))) for r in scanned}
    names = {_plain(row["task"]): row["task"] for row in rows}
    names |= {"3dtensormatrixmultiplication": "three_dim_tensor_matrix_multiplication"}
    names |= {"4dtensormatrixmultiplication": "four_dim_tensor_matrix_multiplication"}
    wanted = {}
    with open(DATA / "robust-kbench-tasks.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["task"].startswith("kernelbench/"):
                task = names[_plain(row["kernelbench_title"].split("_", 1)[1])]
                flags = row["published_filter_flags"].split("|")
                wanted[task] = {NUMERIC[flag] for flag in flags if flag in NUMERIC}
    return wanted


def as_ported(source: str) -> str:
    """A problem as robust-kbench's ports of KernelBench v0 have it: normal inputs where
    MultiKernelBench draws uniform ones, and, as the published flags show, small free parameters
    (0.02 times normal numbers)."""
    source = source.replace("torch.rand(", "torch.randn(")
    made = r"nn\.Parameter\((torch\.(?:randn|ones)\([^()]*\))\)"
    return re.sub(made, r"nn.Parameter(0.02 * torch.randn_like(\1))", source)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def examine(task: Task, batch: int | None, aim: int, limit: int) -> dict:
    """The report of a task as a row; an error where it does not fit."""
    overrides = dict(SMALLER.get(task.name, {}))
    first = next(iter(Program(task).constants.items()), ("", 0))
    if batch and first[0].startswith("batch"):
        overrides[first[0]] = min(batch, first[1])
    if overrides:
        task = replace(task, overrides=overrides)
    try:
        return asdict(review(task, max_bytes=limit, aim=aim))
    except (TaskError, RuntimeError, MemoryError) as error:
        return {"task": task.name, "error": str(error).splitlines()[0][:200]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", choices=("multikernelbench", "robust-kbench"),
                        default="multikernelbench")  # fmt: skip
    parser.add_argument("--category", action="append", choices=CATEGORIES)
    parser.add_argument("--task", action="append")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--batch", type=int, help="make every batch as small as that")
    parser.add_argument("--aim", type=int, default=128, help="MiB to make batches smaller for")
    parser.add_argument("--mib", type=int, default=14 << 10, help="MiB that no task may pass")
    options = parser.parse_args()
    out = options.out or RESULTS / f"filters-{options.table}-{options.batch or 'aim'}.jsonl"
    out.parent.mkdir(parents=True, exist_ok=True)
    known = {}
    if out.exists():
        known = {r["task"]: r for r in map(json.loads, out.read_text("utf-8").splitlines())}
    wanted = published(options.table)
    size = "head" if options.table == "multikernelbench" else "paper"
    suite = load_suite("multikernelbench", size, categories=options.category)
    counts = {"agree": 0, "explained": 0, "differ": 0, "not run": 0}
    flagged = {"published": 0, "the same flags": 0, "at another tolerance": 0}
    with open(out, "a", encoding="utf-8") as log:
        for task in suite:
            if task.name not in wanted or (options.task and task.name not in options.task):
                continue
            row = known.get(task.name)
            if row is None and options.table == "robust-kbench":
                task = replace(task, source=as_ported(task.source))
            if row is None:
                row = examine(task, options.batch, options.aim << 20, options.mib << 20)
                log.write(json.dumps(row) + "\n")
                log.flush()
            if "error" in row:
                counts["not run"] += 1
                print(f"not run  {task.name}: {row['error']}", flush=True)
                continue
            key = "upstream" if options.table == "robust-kbench" else "weak"
            found = {flag for flag in row[key] if key == "upstream" or "@" in flag}
            same = wanted[task.name] == found
            flagged["published"] += bool(wanted[task.name])
            flagged["the same flags"] += bool(wanted[task.name]) and same
            kinds = [{flag.split("@")[0] for flag in flags} for flags in (found, wanted[task.name])]
            flagged["at another tolerance"] += not same and kinds[0] == kinds[1]
            reason = REASONS.get((options.table, task.name))
            kind = "agree" if same else "explained" if reason else "differ"
            counts[kind] += 1
            if not same:
                told = {k: "{:.1e} to {:.1e}".format(*v) for k, v in row["needed"].items()}
                print(f"{kind:9}{task.name}: {sorted(found)}, the table has "
                      f"{sorted(wanted[task.name])}; {row['overrides'] or ''} needs {told}; "
                      f"{reason or ''}", flush=True)  # fmt: skip
    print(counts, flagged)
    return 1 if counts["differ"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
