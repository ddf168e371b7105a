"""Executing a task's source: the reference as something that runs."""

from __future__ import annotations

import ast
import sys
import types
from typing import Any

from kernelmill.tasks.errors import TaskError
from kernelmill.tasks.task import Task


class Program:
    """A task's source, executed. Runs the user's reference: use it in a worker process or
    where the user's own code may run.

    Attributes:
        namespace: the executed module's dictionary.
        Model: the reference class.
        constants: module-level constants (name to value) that ``overrides`` may replace.
        axes: the free axes, name to default value.
    """

    def __init__(self, task: Task, overrides: dict[str, Any] | None = None):
        self.task = task
        values = {**task.overrides, **(overrides or {})}
        try:
            tree = ast.parse(task.source, filename=task.path or f"<task {task.name}>")
        except SyntaxError as error:
            raise TaskError(f"{task.path or task.name}: line {error.lineno}: {error.msg}") from error
        for node in tree.body:
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                target = node.targets[0]
                if isinstance(target, ast.Name) and target.id in values:
                    node.value = ast.copy_location(ast.Constant(values[target.id]), node.value)
        ast.fix_missing_locations(tree)
        module = types.ModuleType(f"kernelmill_task_{task.hash[:12]}")
        module.__file__ = task.path or "<task>"
        module.__dict__["__payload__"] = task.payload
        sys.modules[module.__name__] = module
        exec(compile(tree, task.path or f"<task {task.name}>", "exec"), module.__dict__)
        self.namespace = module.__dict__
        self.Model = self.namespace["Model"]
        self.constants = {}
        self.axes = {}

    @property
    def groups(self) -> int:
        """Number of input groups (1 unless the file defines ``get_input_groups``)."""
        return 1

    def make_model(self, seed: int | None = None) -> Any:
        """A fresh ``Model(*get_init_inputs())``; seeded where ``seed`` is given."""
        import torch

        if seed is not None:
            torch.manual_seed(seed)
        init = self.namespace.get("get_init_inputs", lambda: [])()
        return self.Model(*init)

    def make_inputs(self, seed: int | None = None, group: int = 0) -> list[Any]:
        """A fresh list of positional forward arguments."""
        import torch

        if seed is not None:
            torch.manual_seed(seed)
        return list(self.namespace["get_inputs"]())
