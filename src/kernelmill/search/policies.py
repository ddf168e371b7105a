"""Selection: which nodes the next candidate is derived from.

Every policy takes the graph and one random generator and returns one id, or two for a crossover.
Draws are consumed in a documented order, so a resumed run goes on as it would have. A closed node
(nothing more can be derived from it) is passed over.
Source: KernelEvolve (arXiv 2512.23236) names the policies; the constants are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from kernelmill.search.graph import Graph


class Random(Protocol):
    def random(self) -> float: ...


class Policy(Protocol):
    name: str

    def select(self, graph: Graph, rng: Random) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class Independent:
    """Always the root: sampling without feedback."""

    name = "independent"

    def select(self, graph: Graph, rng: Random) -> tuple[int, ...]:
        return (graph.root,)


@dataclass(frozen=True)
class Greedy:
    """The node of highest fitness, ties to the lower id. No draws."""

    name = "greedy"

    def select(self, graph: Graph, rng: Random) -> tuple[int, ...]:
        return (next(graph.candidates_to_expand(), graph.root),)


@dataclass(frozen=True)
class UCT:
    """Walk down from the root until a node has fewer children than its width; step to the child
    with the largest::

        U = value + c * sqrt(ln N(parent) / N(child))

    ``N`` is the size of the subtree, itself included; ``value`` the mean or the maximum score in
    it over the best score of the graph. Ties go to the lower id. No draws.

    Args:
        c: exploration; 0 is greedy descent.
        width: children that a node gets before the walk goes on below it.
        root_width: the same for the root; ``None``: ``width``.
        backup: ``"max"`` or ``"mean"``.
    """

    c: float = 0.3
    width: int = 3
    root_width: int | None = None
    backup: str = "max"
    name = "uct"

    def __post_init__(self) -> None:
        if not self.c >= 0:
            raise ValueError(f"c must not be negative, got {self.c!r}")
        for name in ("width", "root_width"):
            value = getattr(self, name)
            if value is not None and not value >= 1:
                raise ValueError(f"{name} must be at least 1, got {value!r}")
        if self.backup not in ("max", "mean"):
            raise ValueError(f'backup must be "max" or "mean", got {self.backup!r}')

    def select(self, graph: Graph, rng: Random) -> tuple[int, ...]:
        node = graph.root
        width = self.width if self.root_width is None else self.root_width
        while node in graph.closed or len(graph.children[node]) >= width:
            live = [pair for pair in self.bounds(graph, node) if graph.open[pair[0]]]
            if not live:
                break
            node = max(live, key=lambda pair: (pair[1], -pair[0]))[0]
            width = self.width
        return (node,)

    def bounds(self, graph: Graph, node: int) -> list[tuple[int, float]]:
        """(child, U) for every child of ``node``."""
        scale = graph.best_score or 1.0
        log_n = math.log(graph.size[node])
        result = []
        for child in graph.children[node]:
            visits = graph.size[child]
            value = graph.peak[child] if self.backup == "max" else graph.total[child] / visits
            result.append((child, value / scale + self.c * math.sqrt(log_n / visits)))
        return result


@dataclass(frozen=True)
class Evolutionary:
    """Rank-weighted choice among the ``mu`` best nodes with a fitness, with crossover.

    Draws: the first parent; whether to cross over; then, if so, the second parent.
    """

    mu: int = 4
    p_crossover: float = 0.3
    name = "evolutionary"

    def __post_init__(self) -> None:
        if not self.mu >= 1:
            raise ValueError(f"mu must be at least 1, got {self.mu!r}")
        if not 0 <= self.p_crossover <= 1:
            raise ValueError(f"p_crossover must be in [0, 1], got {self.p_crossover!r}")

    def select(self, graph: Graph, rng: Random) -> tuple[int, ...]:
        population = self.population(graph) or [graph.root]
        first = _by_rank(population, rng.random())
        if rng.random() < self.p_crossover and len(population) > 1:
            others = [node for node in population if node != first]
            return first, _by_rank(others, rng.random())
        return (first,)

    def population(self, graph: Graph) -> list[int]:
        members = []
        for node in graph.candidates_to_expand():
            if len(members) == self.mu or graph.score[node] <= 0:
                break
            members.append(node)
        return members


def _by_rank(members: list[int], draw: float) -> int:
    """Weights n, n-1, ..., 1; the first member whose cumulative weight exceeds draw * total."""
    n = len(members)
    left = draw * n * (n + 1) / 2
    for i, node in enumerate(members):
        left -= n - i
        if left < 0:
            return node
    return members[-1]


POLICIES = {p.name: p for p in (Independent, Greedy, UCT, Evolutionary)}


def make_policy(policy: str | Policy, **options: Any) -> Policy:
    """A policy by its name, or as it is.

    Raises:
        ValueError: no policy of that name.

    Example:
        >>> make_policy("uct", c=0.5).c
        0.5
    """
    if not isinstance(policy, str):
        return policy
    if policy not in POLICIES:
        raise ValueError(f"policy: got {policy!r}; wanted one of {', '.join(sorted(POLICIES))}")
    return POLICIES[policy](**options)
