"""From the files of ``problems/`` to tasks, to folders of the benchmark, and to candidates."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kernelmill.tasks.candidate import Candidate
from kernelmill.tasks.errors import CandidateError, TaskError
from kernelmill.tasks.robustkbench import Config, expand, group_by_init, task_from_text
from kernelmill.tasks.suite import Suite
from kernelmill.tasks.task import Task

VERSION = "2025.11"
FOLDER = Path(__file__).parent / "problems"
KINDS = ("init", "input", "shared")
# Backward inputs ask for a gradient; where they differ from the forward ones the file says how.
BACKWARD_INPUTS = '''

{define}def get_inputs(**config):
    """Inputs that ask for a gradient where they can have one."""
    inputs = {call}(**config)
    return [x.requires_grad_() if x.is_floating_point() else x for x in inputs]
'''


@dataclass(frozen=True)
class Problem:
    """A task in functional form.

    Attributes:
        name: of the task. doc: one sentence.
        text: the file without its table.
        table: direction to mode (``single``, ``multi``, ``small``) to the three lists whose
            product the configurations are: of ``Model``, of ``get_inputs``, of both.
    """

    name: str
    doc: str
    text: str
    table: dict[str, dict[str, tuple[list[dict], list[dict], list[dict]]]]

    @property
    def directions(self) -> tuple[str, ...]:
        return tuple(self.table)

    def configs(self, direction: str = "forward", mode: str = "single") -> list[Config]:
        """Configurations without duplicates.

        Raises:
            TaskError: the task has no such direction or mode; the message lists those it has.
        """
        if direction not in self.table:
            raise TaskError(
                f"{self.name}: no direction {direction!r}; available: {', '.join(self.table)}"
            )
        modes = self.table[direction]
        if mode not in modes:
            raise TaskError(f"{self.name}: no mode {mode!r}; available: {', '.join(modes)}")
        return expand(*modes[mode])

    def source(self, direction: str = "forward") -> str:
        """The text for a direction; backward inputs ask for their gradients."""
        if direction == "forward":
            return self.text
        if "def get_backward_inputs(" in self.text:
            return self.text + BACKWARD_INPUTS.format(define="", call="get_backward_inputs")
        define = "_forward_inputs = get_inputs\n\n\n"
        return self.text + BACKWARD_INPUTS.format(define=define, call="_forward_inputs")

    def tasks(self, direction: str = "forward", mode: str = "single", **fields: Any) -> list[Task]:
        """A task for each choice of constructor arguments; its inputs are the input groups."""
        groups = group_by_init(self.configs(direction, mode))
        name = self.name + ("_backward" if direction == "backward" else "")
        return [
            task_from_text(
                self.source(direction),
                configs,
                direction,
                label=name,
                name=name + (f"_{number}" if len(groups) > 1 else ""),
                category="robust-kbench",
                **fields,
            )
            for number, configs in enumerate(groups)
        ]


def _read(path: Path) -> Problem:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    node = next(n for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "CONFIGS")
    lines = text.splitlines()
    kept = [*lines[: node.lineno - 1], *lines[node.end_lineno :]]
    doc = " ".join((ast.get_docstring(tree) or "").split())
    plain = re.sub(r"\n{3,}", "\n\n\n", "\n".join(kept)) + "\n"
    return Problem(path.stem, doc, plain, ast.literal_eval(node.value))


@cache
def problems() -> dict[str, Problem]:
    """Every task of ``problems/`` by name."""
    return {path.stem: _read(path) for path in sorted(FOLDER.glob("*.py"))}


def robustkbench_suite(
    size: str = "small", *, direction: str | None = None, multi: bool = False, **fields: Any
) -> Suite:
    """The suite at a size.

    Args:
        size: ``small`` for a laptop; ``head`` and ``paper`` are the benchmark's own shapes.
        direction: ``forward``, ``backward``, or both (``None``).
        multi: the several configurations of the benchmark instead of the single one.
        fields: further fields of `Task`.

    Raises:
        ValueError: an unknown direction.

    Example:
        >>> [task.name for task in robustkbench_suite(direction="backward")][:2]
        ['layernorm_backward', 'llama_rmsnorm_backward']
    """
    if direction not in (None, "forward", "backward"):
        raise ValueError(f"direction must be forward, backward or None, got {direction!r}")
    mode = "small" if size == "small" else "multi" if multi else "single"
    tasks = [
        task
        for way in ((direction,) if direction else ("forward", "backward"))
        for problem in problems().values()
        if way in problem.directions
        for task in problem.tasks(way, mode, **fields)
    ]
    return Suite("robust-kbench", f"{VERSION}-{mode}", tuple(tasks))


def export_folder(problem: Problem, path: str | Path) -> Path:
    """Write a task as a folder of the benchmark (``func_forward.py``, ``config_forward.json``...),
    which `kernelmill.tasks.load_task` reads.

    Returns:
        The folder, ``path / problem.name``.
    """
    folder = Path(path) / problem.name
    folder.mkdir(parents=True, exist_ok=True)
    for direction, modes in problem.table.items():
        lists = {
            f"{mode}_{kind}_configs": values
            for mode in ("single", "multi")
            for kind, values in zip(KINDS, modes[mode], strict=True)
        }
        text = json.dumps(lists, indent=2) + "\n"
        (folder / f"config_{direction}.json").write_text(text, encoding="utf-8")
        (folder / f"func_{direction}.py").write_text(problem.source(direction), encoding="utf-8")
    return folder


def functional_candidate(problem: Problem, source: str, name: str = "") -> Candidate:
    """A candidate from functions ``forward`` (the arguments of ``forward_fn``) and, optionally,
    ``backward`` (gradient of the output, then the same arguments; a gradient or ``None`` each).

    Raises:
        CandidateError: the text does not parse or defines no ``forward``.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise CandidateError(f"candidate {name}: line {error.lineno}: {error.msg}") from error
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    if "forward" not in defined:
        raise CandidateError(f"candidate {name}: defines no function forward(...)")
    module = ast.parse(problem.text)
    lines = problem.text.splitlines()
    model = next(n for n in module.body if isinstance(n, ast.ClassDef) and n.name == "Model")
    imports = [n for n in module.body if isinstance(n, (ast.Import, ast.ImportFrom))]
    text = "\n".join(lines[model.lineno - 1 : model.end_lineno])
    text = text.replace("class Model(", "class ModelNew(", 1)
    call = "forward"
    parts = [*(ast.unparse(node) for node in imports), source.rstrip()]
    if "backward" in defined:
        call = "_Function.apply"
        parts.append(_FUNCTION)
    text = text.replace("fn=forward_fn", f"fn={call}")
    return Candidate("\n\n\n".join([*parts, text]) + "\n", "torch", name)


_FUNCTION = """
class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *arguments):
        ctx.arguments = [None if isinstance(a, torch.Tensor) else a for a in arguments]
        ctx.save_for_backward(*(a for a in arguments if isinstance(a, torch.Tensor)))
        return forward(*arguments)

    @staticmethod
    def backward(ctx, gradient):
        saved = iter(ctx.saved_tensors)
        arguments = [next(saved) if a is None else a for a in ctx.arguments]
        return backward(gradient, *arguments)
""".strip()
