"""An exported program as readable Python source in the KernelBench contract."""

from __future__ import annotations

import keyword
import operator
import sys
from typing import Any

import torch
from torch.utils import _pytree as pytree

from kernelmill.tasks.tensor_source import Vault, exact, number


class Unprintable(Exception):
    """The graph holds something that plain source cannot say."""


RESERVED = {"self", "torch", "nn", "io", "device", "_saved"}


def _attribute(path: str) -> str:
    """``a.0.b`` below ``self`` as an expression."""
    text = "self"
    for part in path.split("."):
        plain = part.isidentifier() and not keyword.iskeyword(part)
        text = f"{text}.{part}" if plain else f"getattr({text}, {part!r})"
    return text


class _Body:
    """Prints the nodes of a graph as statements."""

    def __init__(self, program: torch.export.ExportedProgram, arguments: list[str]):
        self.program = program
        self.names: dict[str, str] = {}
        self.taken = set(RESERVED)
        self.lines: list[str] = []
        self.imports: set[str] = set()
        self.constants: dict[str, torch.Tensor] = {}
        self.uses_device = False
        signature = program.graph_signature
        kinds = torch.export.graph_signature.InputKind
        users = iter(arguments)
        for spec in signature.input_specs:
            name = getattr(spec.arg, "name", None)
            if spec.kind == kinds.USER_INPUT:
                text = next(users)
            elif spec.kind in (kinds.PARAMETER, kinds.BUFFER):
                text = _attribute(spec.target)
            elif spec.kind == kinds.CONSTANT_TENSOR:
                label = f"constant_{len(self.constants)}"
                self.constants[label] = program.constants[spec.target]
                text = f"self.{label}"
            else:
                raise Unprintable(f"the graph takes a {spec.kind.name.lower()}")
            if name is not None:
                self.names[name] = text

    def run(self) -> None:
        nodes = list(self.program.graph.nodes)
        last = {}
        for node in nodes:
            for user_input in node.all_input_nodes:
                last[user_input] = node
        for node in nodes:
            if node.op in ("placeholder", "output"):
                continue
            if node.op != "call_function":
                raise Unprintable(f"the graph has a {node.op} node")
            text = self._call(node)
            if text is None:
                continue
            if node not in last:
                self.lines.append(text)
            else:
                self.lines.append(f"{self._fresh(node)} = {text}")
            # freed as early as eager frees it: memory that is reused stays in the cache
            dead = [
                self.names[n.name]
                for n in dict.fromkeys(node.all_input_nodes)
                if last.get(n) is node and n.op == "call_function" and n.name in self.names
            ]
            if dead:
                self.lines.append("del " + ", ".join(dead))

    def _fresh(self, node: torch.fx.Node) -> str:
        name = node.name
        while name in self.taken or keyword.iskeyword(name):
            name += "_"
        self.taken.add(name)
        self.names[node.name] = name
        return name

    def _call(self, node: torch.fx.Node) -> str | None:
        target = node.target
        if target is operator.getitem:
            return f"{self._value(node.args[0])}[{node.args[1]!r}]"
        if not isinstance(target, torch._ops.OpOverload):
            raise Unprintable(f"the graph calls {getattr(target, '__name__', target)}")
        namespace, _, name = target._schema.name.partition("::")
        if name.startswith(("_assert", "sym_constrain", "_guards")):
            return None
        if namespace not in ("aten", "prims"):
            self.imports.add(_import_of(namespace))
        arguments = [self._value(value) for value in node.args]
        arguments += [f"{key}={self._value(value)}" for key, value in node.kwargs.items()]
        path = f"torch.ops.{namespace}.{name}.{target._overloadname}"
        return f"{path}({', '.join(arguments)})"

    def _value(self, value: Any) -> str:
        if isinstance(value, torch.fx.Node):
            return self.names[value.name]
        if isinstance(value, list | tuple):
            return "[" + ", ".join(map(self._value, value)) + "]"
        if isinstance(value, float):
            return number(value)
        if value is None or isinstance(value, bool | int | str | complex):
            return repr(value)
        if isinstance(value, torch.device):
            self.uses_device = True
            return "device"
        if isinstance(value, torch.dtype | torch.layout | torch.memory_format):
            return str(value)
        raise Unprintable(f"the graph holds a {type(value).__name__}")

    def finish(self) -> None:
        """Write-backs of mutated buffers and inputs, then the return statement."""
        kinds = torch.export.graph_signature.OutputKind
        leaves: list[str] = []
        for spec in self.program.graph_signature.output_specs:
            if isinstance(spec.arg, torch.export.graph_signature.ConstantArgument):
                text = self._value(spec.arg.value)
            else:
                text = self.names[spec.arg.name]
            if spec.kind == kinds.BUFFER_MUTATION:
                self.lines.append(f"{_attribute(spec.target)}.copy_({text})")
            elif spec.kind == kinds.USER_INPUT_MUTATION:
                self.lines.append(f"{self.names[spec.target]}.copy_({text})")
            elif spec.kind == kinds.USER_OUTPUT:
                leaves.append(text)
            else:
                raise Unprintable(f"the graph returns a {spec.kind.name.lower()}")
        tree = pytree.tree_unflatten(leaves, self.program.call_spec.out_spec)
        self.lines.append(f"return {_structure(tree)}")


def _structure(tree: Any) -> str:
    """Nested containers of expressions as one expression; named tuples become tuples and other
    mappings dictionaries."""
    if isinstance(tree, str):
        return tree
    if isinstance(tree, dict) or hasattr(tree, "items"):
        return "{" + ", ".join(f"{k!r}: {_structure(v)}" for k, v in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(_structure, tree)) + "]"
    if isinstance(tree, tuple):
        inner = ", ".join(map(_structure, tree))
        return f"({inner},)" if len(tree) == 1 else f"({inner})"
    raise Unprintable(f"the output holds a {type(tree).__name__}")


def _import_of(namespace: str) -> str:
    if namespace == "kernelmill":
        return "import kernelmill.ops"
    if namespace in sys.modules:
        return f"import {namespace}"
    raise Unprintable(f"the graph calls torch.ops.{namespace}, whose module is unknown")


def _state(module: torch.nn.Module, vault: Vault) -> list[str]:
    """Statements that build the same tree of modules, parameters and buffers, in order."""
    lines: list[str] = []
    seen: dict[int, str] = {}
    known: dict[int, str] = {}
    for path, owner in module.named_modules(remove_duplicate=False):
        if id(owner) in known and path:
            lines.append(_place(path, _attribute(known[id(owner)])))
            continue
        known[id(owner)] = path
        if path:
            parent, _, leaf = path.rpartition(".")
            shared = known.get(id(_get(module, parent)), parent) if parent else ""
            if shared != parent:
                continue  # below a module that has been placed already
            if not _holds_state(owner):
                continue
            lines.append(_place(path, "nn.Module()"))
        prefix = f"{path}." if path else ""
        for name, value in owner._parameters.items():
            if value is not None:
                if id(value) in seen:
                    text = seen[id(value)]
                else:
                    text = f"nn.Parameter({_initial(value, vault)}"
                    text += ")" if value.requires_grad else ", requires_grad=False)"
                    seen[id(value)] = _attribute(prefix + name)
                lines.append(_register(path, "register_parameter", name, text))
        for name, value in owner._buffers.items():
            if value is not None:
                text = seen.get(id(value)) or exact(value, vault)
                seen[id(value)] = _attribute(prefix + name)
                if name in owner._non_persistent_buffers_set:
                    text += ", persistent=False"
                lines.append(_register(path, "register_buffer", name, text))
    return lines


def _get(module: torch.nn.Module, path: str) -> torch.nn.Module:
    return module.get_submodule(path) if path else module


def _holds_state(module: torch.nn.Module) -> bool:
    return any(True for _ in module.parameters()) or any(True for _ in module.buffers())


def _place(path: str, text: str) -> str:
    parent, _, leaf = path.rpartition(".")
    return f"{_attribute(parent) if parent else 'self'}.add_module({leaf!r}, {text})"


def _register(path: str, method: str, name: str, text: str) -> str:
    return f"{_attribute(path) if path else 'self'}.{method}({name!r}, {text})"


def _initial(value: torch.Tensor, vault: Vault) -> str:
    """A draw with the mean, deviation and range of a parameter; constants stay constant."""
    data = value.detach()
    if not data.is_floating_point() or data.numel() == 1 or not bool(torch.isfinite(data).all()):
        return exact(value, vault)
    data = data.float()
    if bool((data == data.flatten()[0]).all()):
        return exact(value, vault)
    mean, std = data.mean().item(), data.std().item()
    low, high = data.min().item(), data.max().item()
    shape = tuple(value.shape)
    text = f"_draw({shape}, {mean:.6g}, {std:.6g}, {low:.6g}, {high:.6g})"
    return text if value.dtype == torch.float32 else f"{text}.to({value.dtype})"


DRAW = '''
def _draw(shape, mean, std, low, high):
    """A weight with the statistics of the exported one."""
    return torch.empty(shape).normal_(mean, std).clamp_(low, high)
'''


def print_program(
    program: torch.export.ExportedProgram,
    module: torch.nn.Module,
    parameters: list[str],
    arguments: list[str],
    vault: Vault,
) -> str:
    """Source of ``class Model`` with the computation of ``program`` and the state of ``module``.

    Args:
        parameters: names of the forward parameters.
        arguments: an expression per flattened user input, in terms of the parameters.

    Raises:
        Unprintable: higher-order operators, objects or operators that source cannot name.
    """
    body = _Body(program, arguments)
    body.taken.update(parameters)
    body.run()
    body.finish()
    state = _state(module, vault)
    for name, value in body.constants.items():
        state.append(f"self.register_buffer({name!r}, {exact(value, vault)}, persistent=False)")
    lines = body.lines
    if body.uses_device:
        lines = [f"device = {_device_source(program, module, arguments)}", *lines]
    text = "".join(f"{line}\n" for line in sorted(body.imports))
    if any("_draw(" in line for line in state):
        text += DRAW.lstrip("\n") + "\n\n" if not text else "\n" + DRAW + "\n\n"
    text += "class Model(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    text += "".join(f"        {line}\n" for line in state)
    text += f"\n    def forward({', '.join(['self', *parameters])}):\n"
    text += "".join(f"        {line}\n" for line in lines)
    return text


def _device_source(
    program: torch.export.ExportedProgram, module: torch.nn.Module, arguments: list[str]
) -> str:
    kinds = torch.export.graph_signature.InputKind
    users = [s for s in program.graph_signature.input_specs if s.kind == kinds.USER_INPUT]
    for spec, text in zip(users, arguments, strict=False):
        if isinstance(spec.arg, torch.export.graph_signature.TensorArgument):
            return f"{text}.device"
    for name, _ in module.named_parameters():
        return f"{_attribute(name)}.device"
    return "torch.device('cpu')"
