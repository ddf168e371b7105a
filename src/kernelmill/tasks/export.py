"""A live module or function and example inputs as a self-contained task."""

from __future__ import annotations

import copy
import inspect
import io
import keyword
import pickle
import textwrap
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.utils import _pytree as pytree

from kernelmill.tasks.errors import TaskError
from kernelmill.tasks.graph_source import RESERVED, Unprintable, print_program
from kernelmill.tasks.program import Program, quiet_rng
from kernelmill.tasks.task import Task
from kernelmill.tasks.tensor_source import Vault, argument

HEADER = "import io\n\nimport torch\nimport torch.nn as nn\n"
SAVED = "_saved = torch.load(io.BytesIO(__payload__), weights_only=True)\n"


class _Function(torch.nn.Module):
    """Wraps a function so that it can be exported."""

    def __init__(self, function: Callable[..., Any]):
        super().__init__()
        self.function = function

    def forward(self, *args: Any) -> Any:
        return self.function(*args)


def task_from_module(
    module: torch.nn.Module | Callable[..., Any],
    inputs: Any,
    name: str | None = None,
    kwargs: dict[str, Any] | None = None,
    **fields: Any,
) -> Task:
    """Write the task of a live module: source text in the KernelBench contract.

    ``torch.export`` traces the module in its present mode (train or eval), and the graph becomes
    ``class Model`` whose ``forward`` calls ``torch.ops.aten.*``: the operators that eager calls.
    Parameters and buffers keep their names, so ``load_state_dict(module.state_dict())`` fits;
    ``Model()`` draws weights with the statistics of the module's, and ``get_inputs()`` draws
    inputs like the examples. Shapes are fixed. Keyword arguments become positional, Python
    scalars stay arguments but keep the value that they have here. A module that cannot be
    exported travels as a pickle in ``task.payload``, with its own weights.
    The module itself is not changed.

    Args:
        module: an ``nn.Module`` or a function of tensors.
        inputs: a tensor, a list or tuple of positional arguments, or a dictionary of keywords.
        name: the task's name; the class or function name where it is not given.
        kwargs: keyword arguments besides ``inputs``.
        fields: further fields of `Task`.

    Raises:
        TaskError: the module fails on its inputs, or can neither be exported nor pickled.

    Example:
        >>> layer = torch.nn.Linear(4, 3)
        >>> task = task_from_module(layer, [torch.randn(2, 4)])
        >>> model = Program(task).make_model()
        >>> model.load_state_dict(layer.state_dict())
        <All keys matched successfully>
    """
    if not isinstance(module, torch.nn.Module):
        if not callable(module):
            kind = type(module).__name__
            raise TaskError(f"module is a {kind}, want a torch.nn.Module or a function")
        name = name or getattr(module, "__name__", "function").strip("<>")
        function: Callable[..., Any] = module
        live: torch.nn.Module = _Function(module)
    else:
        name = name or type(module).__name__
        function, live = module.forward, module
    args, parameters = _arguments(function, inputs, kwargs or {}, name)
    fields.setdefault("axes", ())

    vault = Vault()
    generator = _inputs_source(args, vault, name)
    expected = _run(live, args, name)
    try:
        body = _exported(live, args, parameters, vault)
        task = _assemble(body + generator, vault, name, fields)
        problem = _difference(task, live, args, expected)
        if problem is None:
            return task
        reason = f"the exported graph {problem}"
    except Unprintable as error:
        reason = str(error)
    except Exception as error:  # torch.export raises many kinds
        reason = f"torch.export: {_first_line(error)}"
    return _pickled(live, generator, vault, parameters, name, fields, reason)


def _first_line(error: BaseException) -> str:
    line = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {line.strip()[:200]}"


def _arguments(
    function: Callable[..., Any], inputs: Any, kwargs: dict[str, Any], name: str
) -> tuple[list[Any], list[str]]:
    """Positional arguments, and a name for each."""
    if isinstance(inputs, dict):
        args, kwargs = [], {**inputs, **kwargs}
    else:
        args = [inputs] if isinstance(inputs, torch.Tensor) else None
        if args is None and isinstance(inputs, list | tuple):
            args = list(inputs)
        if args is None:
            kind = type(inputs).__name__
            raise TaskError(f"inputs is a {kind}, want a tensor, a list of arguments, or a dict")
    try:
        signature = inspect.signature(function)
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TaskError(f"{name}: inputs do not fit its signature: {error}") from error
    except ValueError:
        return args, [f"x{i}" for i in range(len(args))]
    if kwargs:
        bound.apply_defaults()
        if bound.kwargs:
            keys = ", ".join(bound.kwargs)
            raise TaskError(f"{name}: keyword-only arguments ({keys}) are not supported")
        args = list(bound.args)
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in signature.parameters.values() if p.kind in plain][: len(args)]
    names += [f"x{i}" for i in range(len(names), len(args))]
    return args, [n + "_" if n in RESERVED or keyword.iskeyword(n) else n for n in names]


def _copy(module: torch.nn.Module) -> torch.nn.Module:
    try:
        return copy.deepcopy(module)
    except Exception:
        return module


def _fresh(args: list[Any]) -> list[Any]:
    """Inputs that the callee may write into."""

    def clone(leaf: Any) -> Any:
        return leaf.detach().clone() if isinstance(leaf, torch.Tensor) else leaf

    return pytree.tree_map(clone, args)


def _run(module: torch.nn.Module, args: list[Any], name: str) -> Any:
    try:
        with quiet_rng(), torch.no_grad():
            torch.manual_seed(0)
            return _copy(module)(*_fresh(args))
    except Exception as error:
        raise TaskError(f"{name}: fails on the given inputs: {_first_line(error)}") from error


def _exported(module: torch.nn.Module, args: list[Any], parameters: list[str], vault: Vault) -> str:
    with warnings.catch_warnings(), quiet_rng():
        warnings.simplefilter("ignore")
        program = torch.export.export(_copy(module), tuple(_fresh(args)), strict=False)
    leaves = [
        parameters[path[0].idx] + "".join(_step(key) for key in path[1:])
        for path, _ in pytree.tree_flatten_with_path(tuple(args))[0]
    ]
    return print_program(program, module, parameters, leaves, vault)


def _step(key: Any) -> str:
    if isinstance(key, pytree.SequenceKey):
        return f"[{key.idx}]"
    if isinstance(key, pytree.MappingKey):
        return f"[{key.key!r}]"
    raise Unprintable(f"an input is nested in a {type(key).__name__}")


def _inputs_source(args: list[Any], vault: Vault, name: str) -> str:
    lines = [
        f"        {argument(value, vault, f'{name}: argument {number}')},\n"
        for number, value in enumerate(args)
    ]
    return "\n\ndef get_inputs():\n    return [\n" + "".join(lines) + "    ]\n"


def _assemble(body: str, vault: Vault, name: str, fields: dict[str, Any]) -> Task:
    payload = None
    header = HEADER if vault.tensors else HEADER.replace("import io\n\n", "")
    if vault.tensors:
        payload = _saved_bytes(vault.tensors)
        header += f"\n{SAVED}"
    gap = "" if body.startswith("import") else "\n\n"
    return Task(name=name, source=header + gap + body, payload=payload, **fields)


def _saved_bytes(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _difference(task: Task, module: torch.nn.Module, args: list[Any], expected: Any) -> str | None:
    """How the task's model differs from the module on the examples; ``None``: it does not."""
    try:
        with quiet_rng(), torch.no_grad():
            program = Program(task, register=False)
            model = program.make_model()
            model.load_state_dict(module.state_dict())
            torch.manual_seed(0)
            found = model(*_fresh(args))
            program.make_inputs()
    except Exception as error:
        return f"does not run ({_first_line(error)})"
    ours, theirs = pytree.tree_leaves(_plain(found)), pytree.tree_leaves(_plain(expected))
    if len(ours) != len(theirs):
        return f"returns {len(ours)} values instead of {len(theirs)}"
    for a, b in zip(ours, theirs, strict=True):
        if not isinstance(b, torch.Tensor):
            if a != b:
                return "returns another value"
        elif a.shape != b.shape or a.dtype != b.dtype:
            return "returns another shape or dtype"
        elif not torch.allclose(a, b, rtol=1e-3, atol=1e-4 * _scale(b), equal_nan=True):
            return "returns other values"
    return None


def _scale(tensor: torch.Tensor) -> float:
    finite = tensor[torch.isfinite(tensor)] if tensor.is_floating_point() else tensor
    return float(finite.abs().max()) if finite.numel() and finite.dtype != torch.bool else 1.0


def _plain(output: Any) -> Any:
    """Mappings as dictionaries, so that the leaves come in one order."""
    if hasattr(output, "items"):
        return {key: _plain(value) for key, value in output.items()}
    if isinstance(output, list | tuple):
        return [_plain(value) for value in output]
    return output


PICKLED = '''
_bundle = torch.load(io.BytesIO(__payload__), weights_only=False)
_module, _saved = _bundle["module"], _bundle["saved"]


class Model(nn.Module):
    """The pickled module under its own state names."""

    def __init__(self):
        super().__init__()
        inner = copy.deepcopy(_module)
        object.__setattr__(self, "_inner", inner)
        for table in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
            object.__setattr__(self, table, getattr(inner, table))

    def forward(self{parameters}):
        self._inner.training = self.training
        return self._inner({arguments})
'''


def _pickled(
    module: torch.nn.Module,
    generator: str,
    vault: Vault,
    parameters: list[str],
    name: str,
    fields: dict[str, Any],
    reason: str,
) -> Task:
    try:
        owner = module.function if isinstance(module, _Function) else type(module)
        if getattr(owner, "__module__", None) == "__main__":
            raise pickle.PicklingError(f"{owner.__qualname__} is defined in __main__")
        payload = _saved_bytes({"module": module, "saved": vault.tensors})
        torch.load(io.BytesIO(payload), weights_only=False)
    except Exception as error:
        raise TaskError(
            f"{name}: cannot be exported ({reason}), nor pickled ({_first_line(error)}); define it "
            f"at the top level of a module that can be imported, or write a task file for it"
        ) from error
    arguments = ", ".join(parameters)
    body = PICKLED.format(parameters=f", {arguments}" if arguments else "", arguments=arguments)
    note = textwrap.fill(f"pickled: {reason}", 96, initial_indent="# ", subsequent_indent="# ")
    source = f"import copy\n{HEADER}\n{note}\n{body.lstrip()}{generator}"
    return Task(name=name, source=source, payload=payload, **fields)
