"""Proposer ``library``: this package's operators where the reference computes what they compute.

An operator is recognised where the task's text calls its registered reference, and where the
exported graph holds one of the patterns that the operator's family lists in ``patterns.py``.
"""

from __future__ import annotations

import copy
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch.fx import Graph, Node, Proxy

from kernelmill.search.proposers._embed import embed
from kernelmill.search.proposers._match import Match, export, find
from kernelmill.search.types import Context
from kernelmill.search.types import Node as SearchNode
from kernelmill.tasks import Candidate, Program, Task

Pattern = tuple[Any, Callable[..., Any], dict[str, Any], Callable[[Any], Any] | None]


class LibraryProposer:
    """One candidate: the reference with every recognised operator replaced."""

    name = "library"

    def propose(
        self, task: Task, parents: Sequence[SearchNode], context: Context
    ) -> Iterable[Candidate]:
        if parents or "torch" not in context.facts.get("backends", ["torch"]):
            return
        text = embed(task)
        if text is None:
            return
        yield from _from_text(text)
        for dynamic in (True, False):  # a graph with free dimensions serves other shapes, too
            found = _from_graph(task, text, dynamic)
            if found is not None:
                yield found
                return


def _from_text(text: str) -> Iterator[Candidate]:
    """Calls of a registered reference become calls of its operator, which takes the same
    arguments."""
    from kernelmill.ops.registry import operators

    if "kernelmill.ops" not in text:
        return
    names = []
    for name, operator in operators().items():
        module, function = operator.reference.__module__, operator.reference.__name__
        line = re.compile(
            rf"^from {re.escape(module)} import {function}(?: as (\w+))?\s*$", re.MULTILINE
        )
        alias = line.search(text)
        if alias:
            text = line.sub(f"from kernelmill.ops import {name} as {alias[1] or function}", text)
            names.append(name)
    if names:
        source = re.sub(r"^class Model\(", "class ModelNew(", text, flags=re.MULTILINE)
        yield _candidate(source, names)


def _candidate(source: str, names: list[str]) -> Candidate:
    facts = {"proposer": LibraryProposer.name, "operators": names}
    return Candidate(source, "torch", f"library: {', '.join(dict.fromkeys(names))}", facts)


def patterns() -> list[Pattern]:
    """(operator, function, example, finish) of every family that has a ``patterns`` module."""
    from kernelmill.ops.registry import operators

    found: list[Pattern] = []
    for operator in operators().values():
        family = operator.function.__module__.rpartition(".")[0]
        try:
            module = import_module(f"{family}.patterns")
        except ModuleNotFoundError:
            continue
        for function, example, finish, *name in module.PATTERNS:
            if not name or name[0] == operator.name:
                found.append((operator, function, example, finish))
    return found


def _from_graph(task: Task, text: str, dynamic: bool) -> Candidate | None:
    try:
        program = Program(task, register=False)
        model, inputs = program.make_model(0), program.make_inputs(0)
        exported = export(model, inputs, dynamic)
    except Exception:  # what cannot be exported cannot be searched
        return None
    graph = copy.deepcopy(exported.graph)
    names = []
    for operator, function, example, finish in patterns():
        while True:
            match = next(find(graph, function, example), None)
            if match is None:
                break
            replace(graph, match, operator.function, finish)
            names.append(operator.name)
    if not names:
        return None
    forward = print_forward(exported, graph, len(inputs))
    if forward is None:
        return None
    imports, method = forward
    source = f"{text}\n\n\n{imports}\n\n\nclass ModelNew(Model):\n{textwrap.indent(method, '    ')}"
    return _candidate(source, names)


def replace(
    graph: Graph, match: Match, function: Callable[..., Any], finish: Callable[[Any], Any] | None
) -> None:
    """Put a call of ``function`` in the place of a match."""
    with graph.inserting_before(match.root):
        node = graph.call_function(function, kwargs=dict(match.values))
        node.meta["val"] = match.root.meta.get("val")
        if finish is not None:
            node = finish(Proxy(node)).node
            node.meta["val"] = match.root.meta.get("val")
    match.root.replace_all_uses_with(node)
    graph.eliminate_dead_code()


def print_forward(exported: Any, graph: Graph, arguments: int) -> tuple[str, str] | None:
    """Import lines and a ``forward`` method that computes ``graph``; ``None`` where the program
    does what a method cannot simply say (it writes to its inputs, takes nested arguments, ...)."""
    kinds = torch.export.graph_signature
    signature = exported.graph_signature
    if any(s.kind != kinds.OutputKind.USER_OUTPUT for s in signature.output_specs):
        return None
    places = {}
    for spec in signature.input_specs:
        if spec.kind in (kinds.InputKind.PARAMETER, kinds.InputKind.BUFFER):
            places[spec.arg.name] = spec.target
        elif spec.kind != kinds.InputKind.USER_INPUT:
            return None
    if len(signature.input_specs) - len(places) != arguments:
        return None
    for node in list(graph.nodes):
        if node.op == "placeholder" and node.name in places:
            with graph.inserting_before(node):
                value = graph.get_attr(places[node.name])
            node.replace_all_uses_with(value)
            graph.erase_node(node)
        elif node.op == "output" and not _shape_output(node, exported.call_spec.out_spec):
            return None
    _sort_placeholders(graph)
    code = graph.python_code("self")
    imports = ["import torch"]
    for name, value in code.globals.items():
        if not re.search(rf"\b{name}\b", code.src):
            continue
        if isinstance(value, ModuleType):
            if value.__name__ != "torch":
                imports.append(f"import {value.__name__} as {name}")
        elif callable(value) and getattr(value, "__module__", "").startswith("kernelmill.ops"):
            imports.append(f"from kernelmill.ops import {value.__name__} as {name}")
        elif name in ("inf", "nan"):
            imports.append(f"from math import {name}")
        elif value is torch.device:
            imports.append(f"from torch import device as {name}")
        else:
            return None
    text = "\n".join(f"{line}  # noqa: E402" for line in dict.fromkeys(imports))
    lines = (line.rstrip() for line in code.src.strip().splitlines())
    return text, "\n".join(lines) + "\n"


def _sort_placeholders(graph: Graph) -> None:
    """Code generation wants the arguments before everything else."""
    nodes = list(graph.nodes)
    first = nodes[0]
    for node in nodes:
        if node.op == "placeholder" and node is not first:
            first.prepend(node)


def _shape_output(node: Node, spec: Any) -> bool:
    """The graph returns a flat tuple; give it the reference's structure, where that is plain."""
    leaves = node.args[0]
    if spec.is_leaf():
        node.args = (leaves[0],)
        return True
    if spec.type in (tuple, list) and spec.num_children == len(leaves):
        node.args = (spec.type(leaves),)
        return True
    return False
