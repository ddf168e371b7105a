"""Executing a task's source: the reference as something that runs."""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kernelmill.tasks.errors import TaskError
from kernelmill.tasks.source import assigned_names, execute, guarded, is_plain, label_of, parse
from kernelmill.tasks.task import Task

if TYPE_CHECKING:
    from kernelmill.tasks.axes import Axis
    from kernelmill.tasks.cost import Estimate


class Program:
    """A task's source, executed. Runs the user's reference: use it in a worker process or
    where the user's own code may run.

    ``get_inputs`` and ``get_init_inputs`` return lists of positional arguments; a dictionary is
    taken as keyword arguments and put in the order of ``Model``'s signature. A constructor list
    ``[args, kwargs]`` is read as such only where the list itself does not fit the signature.

    Args:
        task: what to execute.
        overrides: values of module-level constants, over those of ``task.overrides``.

    Attributes:
        namespace: the executed module's dictionary.
        Model: the reference class.
        constants: module-level constants given by literals (name to value).
        derived: those computed from others; ``overrides`` may replace them as well.

    Raises:
        TaskError: the text does not run, lacks ``Model`` or a generator of inputs, or an override
            names no constant or has the wrong type.

    Example:
        >>> text = '''
        ... import torch
        ... batch, dim = 2, 3
        ... class Model(torch.nn.Module):
        ...     def forward(self, x):
        ...         return torch.relu(x)
        ... def get_inputs():
        ...     return [torch.randn(batch, dim)]
        ... '''
        >>> program = Program(Task("relu", text), overrides={"batch": 5})
        >>> program.constants, program.make_inputs(seed=0)[0].shape
        ({'batch': 5, 'dim': 3}, torch.Size([5, 3]))
    """

    def __init__(
        self, task: Task, overrides: dict[str, Any] | None = None, *, register: bool = True
    ):
        self.task = task
        self.overrides = {**task.overrides, **(overrides or {})}
        self.namespace = execute(task, self.overrides, register).__dict__
        names = assigned_names(parse(task.source, label_of(task)))
        found = {
            name: literal
            for name, literal in names.items()
            if is_plain(self.namespace.get(name, execute)) and not name.startswith("__")
        }
        self.constants = {name: self.namespace[name] for name in found if found[name]}
        self.derived = {name: self.namespace[name] for name in found if not found[name]}
        self.Model = self._class()
        if not any(callable(self.namespace.get(name)) for name in ("get_inputs", GROUPS)):
            raise TaskError(f"{label_of(task)}: defines no get_inputs() (or get_input_groups())")

    def _class(self) -> type:
        import torch

        model = self.namespace.get("Model")
        if model is None:
            raise TaskError(f"{label_of(self.task)}: defines no class Model")
        if not isinstance(model, type) or not issubclass(model, torch.nn.Module):
            raise TaskError(f"{label_of(self.task)}: Model is no torch.nn.Module but {model!r}")
        return model

    def with_overrides(self, overrides: dict[str, Any]) -> Program:
        """The same task with further constants replaced; meant to be short-lived."""
        return Program(self.task, {**self.overrides, **overrides}, register=False)

    @cached_property
    def groups(self) -> int:
        """Number of input groups (1 unless the file defines ``get_input_groups``)."""
        if not callable(self.namespace.get(GROUPS)):
            return 1
        from kernelmill.tasks.tracing import fake

        try:
            with fake(), quiet_rng():
                count = len(self._input_groups())
        except Exception:
            count = len(self._input_groups())
        if count == 0:
            raise TaskError(f"{label_of(self.task)}: {GROUPS}() returned no group")
        return count

    def _input_groups(self) -> list[Any]:
        with guarded(self.task, f"{GROUPS}()"):
            groups = self.namespace[GROUPS]()
        if not isinstance(groups, list | tuple):
            kind = type(groups).__name__
            raise TaskError(f"{label_of(self.task)}: {GROUPS}() returned a {kind}, want a list")
        return list(groups)

    def init_inputs(self, seed: int | None = None) -> list[Any]:
        """A fresh list of positional constructor arguments."""
        seed_all(seed)
        function = self.namespace.get("get_init_inputs")
        if function is None:
            return []
        with guarded(self.task, "get_init_inputs()"):
            init = function()
        return self._positional(init, "get_init_inputs()", self.Model, is_constructor=True)

    def make_model(self, seed: int | None = None) -> Any:
        """A fresh ``Model(*get_init_inputs())``; seeded where ``seed`` is given."""
        init = self.init_inputs(seed)
        seed_all(seed)
        with guarded(self.task, "Model(*get_init_inputs())"):
            return self.Model(*init)

    def make_inputs(self, seed: int | None = None, group: int = 0) -> list[Any]:
        """A fresh list of positional forward arguments."""
        seed_all(seed)
        if callable(self.namespace.get(GROUPS)):
            groups = self._input_groups()
            if not 0 <= group < len(groups):
                label = label_of(self.task)
                raise TaskError(f"{label}: no input group {group}, it has {len(groups)}")
            inputs, what = groups[group], f"group {group} of {GROUPS}()"
        else:
            if group != 0:
                raise TaskError(f"{label_of(self.task)}: no input group {group}, it has one")
            what = "get_inputs()"
            with guarded(self.task, what):
                inputs = self.namespace["get_inputs"]()
        return self._positional(inputs, what, self.Model.forward)

    def run(self, model: Any, inputs: list[Any]) -> Any:
        """``model(*inputs)``; what it raises becomes a `TaskError`."""
        with guarded(self.task, "Model.forward"):
            return model(*inputs)

    def _positional(
        self, values: Any, what: str, function: Callable[..., Any], is_constructor: bool = False
    ) -> list[Any]:
        label = label_of(self.task)
        if not isinstance(values, list | tuple | dict):
            kind = type(values).__name__
            raise TaskError(f"{label}: {what} returned a {kind}, want a list of arguments")
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            signature = None
        if isinstance(values, dict):
            args, kwargs = [], values
        else:
            args, kwargs = list(values), {}
            pair = len(args) == 2 and isinstance(args[0], list | tuple) and type(args[1]) is dict
            if is_constructor and pair and signature and not fits(signature, args, {}):
                args, kwargs = list(args[0]), args[1]
        if not kwargs:
            return args
        if signature is None:
            raise TaskError(f"{label}: {what} returned keywords, but the signature is unknown")
        offset = [] if is_constructor else [None]  # forward is bound with self
        try:
            bound = signature.bind(*offset, *args, **kwargs)
        except TypeError as error:
            name = f"{'Model' if is_constructor else 'Model.forward'}{signature}"
            raise TaskError(f"{label}: {what}: {error}; the signature is {name}") from error
        bound.apply_defaults()
        if bound.kwargs:
            keys = ", ".join(bound.kwargs)
            raise TaskError(f"{label}: {what}: keyword-only arguments ({keys}) are not supported")
        return list(bound.args)[len(offset) :]

    @cached_property
    def axes_info(self) -> dict[str, Axis]:
        """What is known of each free axis (see `kernelmill.tasks.axes.Axis`)."""
        from kernelmill.tasks.axes import find_axes

        return find_axes(self)

    @property
    def axes(self) -> dict[str, int]:
        """The free axes, name to present value: the task's declared ones, or else integer
        constants that change the shapes of the inputs and leave the model running."""
        return {name: axis.value for name, axis in self.axes_info.items()}

    def variants(
        self, rng: random.Random, max_elements: int = 1 << 22, count: int = 4
    ) -> list[dict[str, Any]]:
        """Overrides that give other shapes (see `kernelmill.tasks.axes.find_variants`)."""
        from kernelmill.tasks.axes import find_variants

        return find_variants(self, rng, max_elements, count)

    def estimate(self, group: int = 0) -> Estimate | None:
        """Bytes and FLOPs before anything is allocated; ``None`` where the reference cannot be
        traced with fake tensors (see `kernelmill.tasks.cost.estimate`)."""
        from kernelmill.tasks.cost import estimate

        return estimate(self, group)

    def check_memory(self, limit_bytes: int) -> None:
        """Raises `TaskError` with a hint what to ``--set`` where inputs, outputs and weights
        need more than ``limit_bytes``."""
        from kernelmill.tasks.cost import check_memory

        check_memory(self, limit_bytes)

    @cached_property
    def category(self) -> str:
        """The task's category, derived from what the reference calls where it is not given."""
        from kernelmill.tasks.category import category_of

        return self.task.category or category_of(self)


GROUPS = "get_input_groups"


def fits(signature: inspect.Signature, args: list[Any], kwargs: dict[str, Any]) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def seed_all(seed: int | None) -> None:
    """Seed every generator that a task's file may draw from."""
    if seed is None:
        return
    import torch

    torch.manual_seed(seed)
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed % 2**32)


@contextmanager
def quiet_rng() -> Iterator[None]:
    """Leaves the random generators as they were."""
    import torch

    state = random.getstate()
    numpy = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy else None
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(state)
        if numpy:
            numpy.random.set_state(numpy_state)
