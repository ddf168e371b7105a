"""How a suite declares its tasks: a function or class per task, sizes in a table beside it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kernelmill.tasks.errors import TaskError
from kernelmill.tasks.suites.assembly import assemble, without_running_statistics
from kernelmill.tasks.task import Task

SIZES = ("small", "head", "paper")


def sizes(
    *, head: Mapping[str, Any], paper: Mapping[str, Any] | None = None, small: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Module-level constants of a task at its three sizes.

    ``head``: the shapes of the benchmark today; ``paper``: those that the published numbers
    belong to (where they differ; only what differs has to be said); ``small``: well under a second
    on a laptop (only what differs from ``head``). The first constant is the batch, where there
    is one: it is what a memory limit makes smaller.

    Example:
        >>> sizes(head={"batch_size": 4096, "dim": 393216}, small={"batch_size": 16, "dim": 99})
        {'head': {'batch_size': 4096, 'dim': 393216}, 'paper': {'batch_size': 4096, 'dim': 393216},
         'small': {'batch_size': 16, 'dim': 99}}
    """
    return {
        "head": dict(head),
        "paper": {**head, **paper} if paper is not None else dict(head),
        "small": {**head, **small},
    }


@dataclass(frozen=True)
class Form:
    """One way in which a task is computed: a definition and how its arguments are made."""

    definition: Callable[..., Any]
    inputs: dict[str, str]
    sizes: dict[str, dict[str, Any]]
    layers: dict[str, str]
    signature: tuple[str, ...]
    init: tuple[str, ...] | None = None

    def constructor(self) -> list[inspect.Parameter]:
        if inspect.isclass(self.definition):
            parameters = inspect.signature(self.definition.__init__).parameters.values()
            return [p for p in parameters if p.name != "self" and p.kind != p.VAR_KEYWORD]
        keywords = {
            p.name: p
            for p in inspect.signature(self.definition).parameters.values()
            if p.kind == p.KEYWORD_ONLY
        }
        return [
            keywords.get(name, inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY))
            for name in self.signature or keywords
        ]

    def init_arguments(self, constants: Mapping[str, Any]) -> list[str]:
        """Names of the constants that the constructor takes, in order; it may end early where
        the rest has defaults."""
        if self.init is not None:
            return list(self.init)
        names = [p.name for p in self.constructor()]
        given = [name for name in names if name in constants]
        if given != names[: len(given)]:
            raise TaskError(f"{self.definition.__name__}: constructor {names} but sizes {given}")
        return given


@dataclass
class Entry:
    """A task of a suite in all its forms.

    Attributes:
        name, category, description: as people read them.
        kernelbench: the problem it stems from (``L1/31``).
        weak: flags of the form ``zeros@1e-4``: what passes for an answer at that tolerance.
        note: what is peculiar about the reference.
        forms: ``head``, and where they differ ``paper`` and ``repaired``.
    """

    name: str
    category: str
    description: str
    kernelbench: str = ""
    weak: tuple[str, ...] = ()
    note: str = ""
    forms: dict[str, Form] = field(default_factory=dict)
    axes: tuple[str, ...] | None = None

    def form(self, size: str = "small", repaired: bool = False) -> Form:
        if repaired and "repaired" in self.forms:
            return self.forms["repaired"]
        return self.forms.get("paper" if size == "paper" else "head", self.forms["head"])

    def source(self, size: str = "small", repaired: bool = False) -> str:
        """The text of the task. Batch norms of the repaired one keep no running statistics."""
        form = self.form(size, repaired)
        constants = form.sizes[size]
        text = assemble(
            form.definition.__module__,
            form.definition.__name__,
            self.description,
            constants,
            form.inputs.values(),
            form.init_arguments(constants),
            form.layers,
            form.signature,
        )
        return without_running_statistics(text) if repaired else text

    def task(self, size: str = "small", repaired: bool = False, **fields: Any) -> Task:
        """The task at a size.

        Raises:
            ValueError: the size is unknown.
        """
        if size not in SIZES:
            raise ValueError(f"size must be one of {', '.join(SIZES)}, got {size!r}")
        fields.setdefault("axes", self.axes)
        source = self.source(size, repaired)
        return Task(name=self.name, source=source, category=self.category, **fields)


class Category:
    """Collects the tasks that a file declares.

    Args:
        name: of the category. Several files may share one.

    Example, in a file of its own::

        tasks = Category("activation")

        @tasks.add(ROWS, x="torch.rand(batch_size, dim)", kernelbench="L1/31",
                   weak="identity@1e-4", repair={"x": "torch.randn(batch_size, dim)"})
        def elu(x, *, alpha=1.0):
            \"\"\"ELU: x if x > 0 else alpha (exp(x) - 1).\"\"\"
            return F.elu(x, alpha=alpha)
    """

    def __init__(self, name: str):
        self.name = name
        self.entries: dict[str, Entry] = {}

    def add(
        self,
        sizes: dict[str, dict[str, Any]],
        *,
        name: str | None = None,
        signature: str = "",
        layers: Mapping[str, str] | None = None,
        init: tuple[str, ...] | None = None,
        kernelbench: str = "",
        weak: str = "",
        note: str = "",
        repair: Mapping[str, str] | None = None,
        paper: Mapping[str, str] | None = None,
        form: str = "head",
        axes: tuple[str, ...] | None = None,
        description: str = "",
        **inputs: str,
    ) -> Callable[[Any], Any]:
        """Declare a task: decorates a function or an ``nn.Module`` class.

        - A function without ``self``: positional parameters are forward arguments, keyword-only
          ones constructor arguments.
        - A function with ``self`` is a forward method; ``layers`` maps attributes to expressions
          over the constructor's arguments, which ``signature`` lists in order.
        - A class is taken as it is.

        Args:
            sizes: see `sizes`. A constructor argument takes the constant of its name.
            init: expressions, where constructor arguments are no plain constants.
            weak: flags, separated by spaces. repair, paper: input expressions of the repaired form
                and of the paper's, where they differ.
            form: ``paper`` or ``repaired``: this definition is another form of the task ``name``,
                declared before as ``head``.
            description: where one definition serves several tasks; else its docstring.
            inputs: an expression for each forward argument, over the constants.

        Raises:
            TaskError: two tasks of one name, or inputs that are not those of the definition.
        """

        def declare(definition: Any) -> Any:
            label = name or definition.__name__
            words = tuple(part.strip() for part in signature.split(",") if part.strip())
            made = Form(definition, dict(inputs), sizes, dict(layers or {}), words, init)
            _check_inputs(label, made)
            if form != "head":
                self.entries[label].forms[form] = made
                return definition
            if label in self.entries:
                raise TaskError(f"category {self.name}: two tasks are named {label!r}")
            doc = description or " ".join((inspect.getdoc(definition) or "").split())
            entry = Entry(label, self.name, doc, kernelbench, tuple(weak.split()), note, axes=axes)
            entry.forms["head"] = made
            for other, changed in (("repaired", repair), ("paper", paper)):
                if changed:
                    entry.forms[other] = replace(made, inputs={**made.inputs, **changed})
            self.entries[label] = entry
            return definition

        return declare


def _check_inputs(label: str, form: Form) -> None:
    function = form.definition.forward if inspect.isclass(form.definition) else form.definition
    wanted = [
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.kind != p.KEYWORD_ONLY and p.name != "self"
    ]
    if wanted != list(form.inputs):
        raise TaskError(f"task {label}: forward takes {wanted}, inputs are {list(form.inputs)}")
