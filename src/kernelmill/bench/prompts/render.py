"""From a task to the text that a language model gets."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelmill.bench.prompts.examples import ADD, Example, backends_shown, example
from kernelmill.bench.prompts.platforms import platform
from kernelmill.tasks import Task
from kernelmill.tasks.suites import CATEGORIES

FURTHER = ("reduce", "matmul", "normalization", "pooling", "activation")


@dataclass(frozen=True)
class Strategy:
    """How a task is asked.

    Args:
        summary: a sentence.
        examples: ``"none"``, ``"add"`` (two tensors added), ``"category"`` (the task's category's,
            else add) or ``"several"`` (add, the category's, and others).
        hardware: tell the facts of the machine.
    """

    summary: str
    examples: str = "none"
    hardware: bool = False


STRATEGIES = {
    "zero_shot": Strategy("the task alone"),
    "add_shot": Strategy("one example, the same for all: two tensors added", "add"),
    "category_shot": Strategy("one example, of the task's category", "category"),
    "few_shot": Strategy("several examples", "several"),
    "hardware_aware": Strategy("the example of add_shot, and the machine's facts", "add", True),
}
ALIASES = {"selected_shot": "category_shot", "one_shot": "add_shot"}  # upstream's names


def render(
    task: Task,
    backend: str,
    strategy: str = "category_shot",
    *,
    hardware: dict[str, Any] | None = None,
    shots: int = 3,
    template: str | Path | None = None,
) -> str:
    """The prompt for a task.

    No prompt holds the answer: where the example of a category solves the very task, the next one
    is shown instead.

    Args:
        backend: the answer's.
        strategy: of `STRATEGIES`; ``selected_shot`` (MultiKernelBench, arXiv 2507.17773,
            section 3.3) is ``category_shot``, ``one_shot`` (KernelBench) is ``add_shot``.
        hardware: facts to tell; by default those of this machine where the strategy tells any.
        shots: number of examples of ``few_shot``.
        template: a Jinja file of your own; it may extend ``prompt.j2`` and replace its blocks
            (task, rules, hardware, example, reference, instruction).

    Raises:
        ValueError: an unknown strategy, no example for the backend, or a bad number of shots.

    Example:
        >>> from kernelmill.tasks.suites import load_suite
        >>> text = render(load_suite("multikernelbench")["relu"], "cpp")
        >>> "class ModelNew" in text, "torch.softmax(x, dim=1)" in text
        (True, True)
    """
    name = ALIASES.get(strategy, strategy)
    if name not in STRATEGIES:
        raise ValueError(f"unknown strategy {strategy!r}; known: {', '.join(STRATEGIES)}")
    chosen = STRATEGIES[name]
    if chosen.hardware and hardware is None:
        hardware = machine(backend)
    fields = {
        "task": task,
        "platform": platform(backend),
        "examples": _examples(task, backend, chosen, name, shots),
        "hardware": hardware if chosen.hardware else None,
        "dtypes": "as in `get_inputs`, mostly float32",
        "precision": "Sums of many terms need an accumulator of at least float32.",
    }
    return _template(template).render(fields).strip() + "\n"


def _examples(task: Task, backend: str, strategy: Strategy, name: str, shots: int) -> list[Example]:
    if strategy.examples == "none":
        return []
    if example(ADD, backend) is None:
        raise ValueError(
            f"strategy {name} shows an example, and there is none for backend {backend!r}; "
            f"there are for: {', '.join(backends_shown())}; zero_shot needs none"
        )
    order = {
        "add": (ADD,),
        "category": (task.category, ADD),
        "several": (ADD, task.category, *FURTHER, *CATEGORIES),
    }[strategy.examples]
    found: dict[str, Example] = {}
    for category in order:
        shown = example(category, backend) if category else None
        if shown is not None and not _is_answer(shown, task):
            found.setdefault(category, shown)
    wanted = shots if strategy.examples == "several" else 1
    if wanted < 1 or wanted > len(found):
        raise ValueError(
            f"shots: backend {backend} has {len(found)} examples for {task.name}, got {shots}"
        )
    return list(found.values())[:wanted]


def _is_answer(shown: Example, task: Task) -> bool:
    """Does the example solve the task, whatever the task's size or name?"""
    return shown.task.name == task.name or _model(shown.task) == _model(task)


def _model(task: Task) -> str:
    """The text of the reference's classes, without comments and docstrings."""
    try:
        tree = ast.parse(task.source)
    except SyntaxError:
        return task.source
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for node in (inner for top in classes for inner in ast.walk(top)):
        body = getattr(node, "body", None)
        if isinstance(body, list) and len(body) > 1 and isinstance(body[0], ast.Expr):
            if isinstance(body[0].value, ast.Constant):
                del body[0]
    return "\n".join(ast.unparse(node) for node in classes)


def machine(backend: str) -> dict[str, Any]:
    """Facts of this machine that a kernel's author wants to know."""
    from kernelmill.backends.doctor import diagnose

    facts = diagnose()
    found: dict[str, Any] = {}
    if backend in ("triton", "cuda") and facts["gpu"]["available"]:
        found["GPU"] = ", ".join(facts["gpu"]["devices"])
        found |= _gpu()
    else:
        cpu = facts["cpu"]
        found["CPU"] = cpu["model"]
        found["instruction set"] = cpu["isa"]
        found["cores"] = cpu["cores"]
        found |= _caches()
    found["software"] = f"torch {facts['torch']['version']}"
    compiler = facts["compiler"]
    if backend == "cpp" and compiler["version"]:
        found["compiler"] = compiler["version"]
    return found


def _gpu() -> dict[str, Any]:
    import torch

    properties = torch.cuda.get_device_properties(0)
    return {
        "multiprocessors": properties.multi_processor_count,
        "memory": f"{properties.total_memory / 2**30:.0f} GiB",
        "compute capability": f"{properties.major}.{properties.minor}",
    }


def _caches() -> dict[str, Any]:
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = (
                (folder / name).read_text().strip() for name in ("level", "type", "size")
            )
        except OSError:
            continue
        if kind != "Instruction":
            found[f"L{level} cache"] = size
    return found


def _template(path: str | Path | None) -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise ImportError("prompts need jinja2: pip install 'kernelmill[workbench]'") from error

    folders = [Path(__file__).parent]
    if path is not None:
        if not Path(path).is_file():
            raise ValueError(f"template: no such file: {path}")
        folders.insert(0, Path(path).resolve().parent)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template(Path(path).name if path else "prompt.j2")
