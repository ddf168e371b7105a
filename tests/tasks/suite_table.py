"""The table of MultiKernelBench's tasks as a judge of our own: shapes, arguments, costs."""

import csv
import json
import re
from functools import cache
from pathlib import Path

from kernelmill.tasks import Program
from kernelmill.tasks.tracing import Spec

DATA = Path(__file__).parents[1] / "data"
FILES = ("multikernelbench-tasks.csv", "multikernelbench-tasks-extra.csv")


@cache
def rows():
    """Task name to row, of both files."""
    found = {}
    for name in FILES:
        with open(DATA / name, newline="", encoding="utf-8") as file:
            found.update({row["task"]: row for row in csv.DictReader(file)})
    return found


def parts(text):
    """``float32[2,3] ; 3.14`` as written in the table."""
    return [part.strip() for part in re.split(r" ; ", text)] if text else []


def written(spec: Spec):
    if spec.is_tensor:
        return f"{spec.dtype}[{','.join(map(str, spec.shape))}]"
    return spec.dtype


def arguments(values):
    """Constructor arguments as JSON writes them, so that tuples and lists are one."""
    return json.loads(json.dumps(values))


def differences(entry, size):
    """What of an entry differs from its row at ``head`` or ``paper``: a list of sentences."""
    row = rows()[entry.name]
    program = Program(entry.task(size))
    found = []

    def check(what, got, want):
        if got != want:
            found.append(f"{entry.name} at {size}: {what}: got {got}, the table says {want}")

    check("constructor", arguments(program.init_inputs()), json.loads(row[f"init_args_{size}"]))
    cost = program.estimate()
    if cost is None:
        return [*found, f"{entry.name} at {size}: cannot be traced"]
    tensors = [part for part in parts(row[f"inputs_{size}"]) if re.match(r"\w+\[[\d,]*\]$", part)]
    check("inputs", [written(s) for s in cost.input_specs if s.is_tensor], tensors)
    check("output", " ; ".join(map(written, cost.output_specs)), row[f"output_{size}"])
    if size == "head":
        parameters = sum(_count(s) for s in cost.parameter_specs)
        check("parameters", parameters, int(row["parameters"]))
        if row["buffers"]:
            check("buffers", sum(_count(s) for s in cost.buffer_specs), int(row["buffers"]))
        check("FLOPs", cost.flops, int(row["flops_head"]))
        check("input bytes", cost.inputs, int(row["in_bytes_head"]))
        check("output bytes", cost.outputs, int(row["out_bytes_head"]))
    return found


def _count(spec):
    number = 1
    for extent in spec.shape:
        number *= extent
    return number
