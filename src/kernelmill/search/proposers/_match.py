"""Finding a piece of plain PyTorch in an exported graph, its constants included."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch.fx import Graph, Node

aten = torch.ops.aten
COMMUTATIVE = {aten.add.Tensor, aten.mul.Tensor}
# Stand-ins for numbers while a pattern is traced: unlikely values, two for each.
STAND_INS = ((0.0123046875, 0.0498046875), (2.6640625, 3.4296875), (0.7109375, 0.5859375))


@dataclass
class Match:
    """``values`` binds the pattern's arguments to nodes and numbers; ``inner`` are the matched
    nodes, ``root`` the one whose result is the pattern's."""

    root: Node
    values: dict[str, Any] = field(default_factory=dict)
    inner: set[Node] = field(default_factory=set)

    def copy(self) -> Match:
        return Match(self.root, dict(self.values), set(self.inner))


@dataclass(frozen=True)
class Traced:
    root: Node
    tensors: dict[Node, str]
    numbers: dict[float, str]
    # Numbers computed from the arguments: known only once those are bound.
    derived: frozenset[float]


def export(module: torch.nn.Module, inputs: Any, dynamic: bool = False) -> Any:
    """`torch.export` without its warnings; every dimension free where ``dynamic``."""
    shapes = None
    if dynamic:
        auto = torch.export.Dim.AUTO
        shapes = tuple(
            dict.fromkeys(range(value.dim()), auto) if isinstance(value, torch.Tensor) else None
            for value in inputs
        )
    log = logging.getLogger("torch._export")
    level = log.level
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        log.setLevel(logging.ERROR)  # it reports every dimension of size 1
        try:
            return torch.export.export(module, tuple(inputs), strict=False, dynamic_shapes=shapes)
        finally:
            log.setLevel(level)


class _Wrapped(torch.nn.Module):
    def __init__(self, function: Callable[..., Any], names: list[str], numbers: dict[str, float]):
        super().__init__()
        self.function, self.names, self.numbers = function, names, numbers

    def forward(self, *tensors: Any) -> Any:
        return self.function(**dict(zip(self.names, tensors, strict=True)), **self.numbers)


def _trace(
    function: Callable[..., Any], tensors: dict[str, Any], numbers: dict[str, float]
) -> tuple[Node, dict[Node, str]]:
    program = export(_Wrapped(function, list(tensors), numbers), list(tensors.values()))
    nodes = list(program.graph.nodes)
    placeholders = [node for node in nodes if node.op == "placeholder"]
    (root,) = nodes[-1].args[0]
    return root, dict(zip(placeholders, tensors, strict=True))


@lru_cache(maxsize=256)
def _trace_pattern(function: Callable[..., Any], example: tuple) -> Traced:
    tensors = {k: torch.rand(v) + 1 for k, v in example if isinstance(v, tuple)}
    names = [k for k, v in example if not isinstance(v, tuple)]
    first, second = ({name: STAND_INS[i][side] for i, name in enumerate(names)} for side in (0, 1))
    root, placeholders = _trace(function, tensors, first)
    other, _ = _trace(function, tensors, second)
    stand_ins = {value: name for name, value in first.items()}
    derived = {a for a, b in zip(_floats(root), _floats(other), strict=True) if a != b}
    return Traced(root, placeholders, stand_ins, frozenset(derived - set(stand_ins)))


def _floats(root: Node) -> list[float]:
    found = []
    for node in root.graph.nodes:
        found += [a for a in node.args if isinstance(a, float)]
    return found


def find(graph: Graph, function: Callable[..., Any], example: dict[str, Any]) -> Iterator[Match]:
    """Places in ``graph`` that compute ``function``, a function of tensors and numbers with one
    result.

    The structure is compared first; then ``function`` is traced again with the shapes and
    numbers found, and now every constant has to be the same.

    Args:
        graph: of an exported program, with ``meta["val"]`` on its nodes.
        example: arguments of ``function``; a tuple stands for a tensor of that shape.
    """
    loose = _trace_pattern(function, tuple(example.items()))
    for node in graph.nodes:
        if node.op != "call_function" or node.target != loose.root.target:
            continue
        for match in _match(loose.root, node, loose, Match(node), strict=False):
            if set(match.values) == set(example) and _closed(match) and _exact(function, match):
                yield match
                break


def _closed(match: Match) -> bool:
    """Nothing outside needs an intermediate result."""

    def inside(user: Node) -> bool:
        if user in match.inner:
            return True
        return _through(user) is not user and all(map(inside, user.users))

    return all(all(map(inside, n.users)) for n in match.inner if n is not match.root)


def _exact(function: Callable[..., Any], match: Match) -> bool:
    tensors, numbers = {}, {}
    for name, value in match.values.items():
        if isinstance(value, Node):
            known = value.meta.get("val")
            if not isinstance(known, torch.Tensor):
                return False
            tensors[name] = torch.ones([_size(n) for n in known.shape], dtype=known.dtype)
        else:
            numbers[name] = value
    try:
        root, placeholders = _trace(function, tensors, numbers)
    except Exception:
        return False
    traced = Traced(root, placeholders, {}, frozenset())
    found = _match(root, match.root, traced, Match(match.root), strict=True)
    return any(all(again.values[k] is match.values[k] for k in tensors) for again in found)


def _size(size: Any) -> int:
    return size if isinstance(size, int) else size.node.hint


def _match(
    pattern: Any, target: Any, traced: Traced, match: Match, strict: bool
) -> Iterator[Match]:
    if isinstance(pattern, Node):
        pattern = _through(pattern)
    if isinstance(target, Node):
        target = _through(target)
    if isinstance(pattern, Node) and pattern in traced.tensors:
        name = traced.tensors[pattern]
        if isinstance(target, Node) and match.values.get(name, target) is target:
            match.values[name] = target
            yield match
        return
    if isinstance(pattern, Node):
        if not isinstance(target, Node) or target.op != "call_function":
            return
        operator, arguments = canonical(pattern)
        theirs, values = canonical(target)
        if operator != theirs or len(arguments) != len(values):
            return
        orders = [values]
        if operator in COMMUTATIVE:
            orders.append([values[1], values[0], *values[2:]])
        for order in orders:
            trial = match.copy()
            trial.inner.add(target)
            yield from _match_all(arguments, order, traced, trial, strict)
        return
    if isinstance(pattern, (list, tuple)):
        if isinstance(target, (list, tuple)) and len(pattern) == len(target):
            yield from _match_all(list(pattern), list(target), traced, match, strict)
        return
    if _same(pattern, target, traced, match, strict):
        yield match


def _match_all(
    patterns: list[Any], targets: list[Any], traced: Traced, match: Match, strict: bool
) -> Iterator[Match]:
    if not patterns:
        yield match
        return
    for partial in _match(patterns[0], targets[0], traced, match, strict):
        yield from _match_all(patterns[1:], targets[1:], traced, partial, strict)


def _same(pattern: Any, target: Any, traced: Traced, match: Match, strict: bool) -> bool:
    plain = isinstance(target, (int, float)) and not isinstance(target, bool)
    if isinstance(pattern, float) and pattern in traced.numbers:
        name = traced.numbers[pattern]
        if not plain or match.values.get(name, target) != target:
            return False
        match.values[name] = target
        return True
    if isinstance(pattern, (int, float)) and not isinstance(pattern, bool):
        if not strict and (isinstance(pattern, int) or pattern in traced.derived):
            return plain
        return plain and math.isclose(pattern, target, rel_tol=1e-9)
    return type(pattern) is type(target) and pattern == target


def _through(node: Node) -> Node:
    """Past what changes nothing: a product with 1, ``detach``, ``alias``."""
    while node.op == "call_function":
        if node.target in (aten.detach.default, aten.alias.default):
            node = node.args[0]
        elif node.target == aten.mul.Tensor and node.args[1] in (1, 1.0):
            node = node.args[0]
        else:
            break
    return node


def canonical(node: Node) -> tuple[Any, list[Any]]:
    """Operator and all arguments, defaults filled in, dimensions counted from the front."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return target, list(node.args)
    rank = None
    first = node.args[0] if node.args else None
    if isinstance(first, Node) and isinstance(first.meta.get("val"), torch.Tensor):
        rank = first.meta["val"].dim()
    arguments = []
    for position, argument in enumerate(target._schema.arguments):
        if position < len(node.args):
            value = node.args[position]
        else:
            value = node.kwargs.get(argument.name, argument.default_value)
        if argument.name in ("dim", "dims") and rank:
            if isinstance(value, int):
                value = value % rank
            elif isinstance(value, (list, tuple)):
                value = sorted(d % rank if isinstance(d, int) else d for d in value)
        arguments.append(value)
    if target == aten.clamp.default and arguments[2] is None:
        return aten.clamp_min.default, arguments[:2]
    return target, arguments
