"""Every registered operator of the library as a task: its reference is the task's reference."""

from __future__ import annotations

import inspect
import keyword
from typing import Any

import torch

from kernelmill.ops.registry import operators
from kernelmill.tasks.errors import TaskError
from kernelmill.tasks.task import Task
from kernelmill.tasks.tensor_source import Vault, argument

CONSTANT = (bool, int, float, str, tuple, list, type(None))


def library_tasks(bench: bool | None = None, **fields: Any) -> dict[str, Task]:
    """A task per operator and example: ``gem.tokens``...

    The text imports the reference (not the fast kernels) from ``kernelmill.ops``. Tensors of the
    example are drawn anew as forward arguments; other values are constructor arguments and
    module-level constants. Shapes are fixed.

    Args:
        bench: only examples made for timing (true), only small ones (false), all (None).
        fields: further fields of `Task`, such as ``backward=True``.
    """
    tasks = {}
    for name, operator in operators().items():
        for example in operator.examples:
            if bench is None or bool(example.bench) is bench:
                label = f"{name}.{example.name}"
                tasks[label] = operator_task(operator, example, name=label, **fields)
    return tasks


def operator_task(operator: Any, example: Any, name: str | None = None, **fields: Any) -> Task:
    """The task of one operator for the shapes of one of its examples."""
    name = name or f"{operator.name}.{example.name}"
    reference = operator.reference
    module, function = reference.__module__, reference.__name__
    if "<" in reference.__qualname__:
        raise TaskError(f"{name}: the reference {reference.__qualname__} cannot be imported")
    values = example(seed=0)
    order = [key for key in inspect.signature(reference).parameters if key in values]
    order += [key for key in values if key not in order]
    tensors = [key for key in order if not _is_constant(values[key])]
    constants = [key for key in order if _is_constant(values[key])]
    vault = Vault()
    inputs = [argument(values[key], vault, f"{name}: {key}") for key in tensors]
    if vault.tensors:
        raise TaskError(f"{name}: an input has a structure that source text cannot hold")

    lines = [f'"""{operator.doc}', "", f"Operator {operator.name}, example {example.name}."]
    lines += [f"Source: {operator.paper}."] if operator.paper else []
    lines += ['"""', "", "import torch", "import torch.nn as nn", ""]
    lines += [f"from {module} import {function}"]
    lines += [""] if constants else []
    lines += [f"{_constant(key)} = {values[key]!r}" for key in constants]
    lines += ["", "", "class Model(nn.Module):"]
    lines += [f"    def __init__({', '.join(['self', *constants])}):", "        super().__init__()"]
    lines += [f"        self.{key} = {key}" for key in constants]
    call = [f"{key}={key}" for key in tensors] + [f"{key}=self.{key}" for key in constants]
    lines += ["", f"    def forward({', '.join(['self', *tensors])}):"]
    lines += [f"        return {function}({', '.join(call)})", "", ""]
    lines += ["def get_inputs():", "    return ["]
    lines += [*(f"        {text}," for text in inputs), "    ]"]
    lines += ["", "", "def get_init_inputs():"]
    lines += [f"    return [{', '.join(map(_constant, constants))}]", ""]
    fields.setdefault("axes", ())
    return Task(name=name, source="\n".join(lines), **fields)


def _constant(key: str) -> str:
    return key + "_" if keyword.iskeyword(key) or key in ("torch", "nn") else key


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_constant, value))
    return not isinstance(value, torch.Tensor) and isinstance(value, CONSTANT)
