"""The graph of candidates: a node is a candidate with its evaluation, an edge says "derived from".

The first parent is the tree parent; a second one only comes from crossover. Sizes, sums and
maxima of the subtrees are kept up to date as nodes come and scores change, so that a selection
costs O(depth * width).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import replace

from kernelmill.evaluate.evaluation import Evaluation
from kernelmill.search.types import Node


class Graph:
    """Nodes by id, in order of insertion; the first one is the root.

    Example:
        >>> from kernelmill.tasks import Candidate
        >>> graph = Graph()
        >>> graph.add(Node(0, Candidate("")), score=1.0)
        >>> graph.add(Node(1, Candidate(""), parents=(0,)), score=2.5)
        >>> graph.best, graph.size[0], graph.total[0], graph.peak[0]
        (1, 2, 3.5, 2.5)
    """

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {}
        self.children: dict[int, list[int]] = {}
        self.score: dict[int, float] = {}
        self.size: dict[int, int] = {}
        self.total: dict[int, float] = {}
        self.peak: dict[int, float] = {}
        self.pending: set[int] = set()
        self.closed: set[int] = set()  # nothing more can be derived from these
        self.open: dict[int, int] = {}  # nodes in the subtree that are not closed
        self.root: int | None = None
        self._ranking: list[tuple[float, int]] = []  # (-score, id)

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, node: int) -> Node:
        return self.nodes[node]

    @property
    def next_id(self) -> int:
        return len(self.nodes)

    def add(self, node: Node, score: float | None = None, pending: bool = False) -> None:
        """Add a node; ``score`` defaults to its fitness. A pending node counts as a visit with
        score 0.

        Raises:
            ValueError: the id is taken, a parent is unknown, or there is a second root.
        """
        if node.id in self.nodes:
            raise ValueError(f"node: id {node.id} is in the graph already")
        unknown = [p for p in node.parents if p not in self.nodes]
        if unknown or (not node.parents and self.root is not None):
            raise ValueError(
                f"node {node.id}: parents must be in the graph, got {list(node.parents)}"
            )
        if self.root is None:
            self.root = node.id
        value = node.fitness if score is None else score
        self.nodes[node.id] = node
        self.children[node.id] = []
        self.score[node.id] = value
        self.size[node.id] = self.open[node.id] = 1
        self.total[node.id] = self.peak[node.id] = value
        insort(self._ranking, (-value, node.id))
        if pending:
            self.pending.add(node.id)
        if node.parents:
            self.children[node.parents[0]].append(node.id)
            for above in self._line(node.parents[0]):
                self.size[above] += 1
                self.open[above] += 1
                self.total[above] += value
                self.peak[above] = max(self.peak[above], value)

    def settle(self, node: int, evaluation: Evaluation, score: float | None = None) -> Node:
        """Enter the evaluation of a node."""
        settled = replace(self.nodes[node], evaluation=evaluation)
        self.nodes[node] = settled
        self.pending.discard(node)
        old, new = self.score[node], settled.fitness if score is None else score
        if old != new:
            del self._ranking[bisect_left(self._ranking, (-old, node))]
            insort(self._ranking, (-new, node))
            self.score[node] = new
            for above in self._line(node):
                self.total[above] += new - old
                below = (self.peak[child] for child in self.children[above])
                self.peak[above] = (
                    max(self.score[above], *below) if self.children[above] else (self.score[above])
                )
        return settled

    def close(self, node: int) -> None:
        """No policy selects ``node`` any more."""
        if node not in self.closed:
            self.closed.add(node)
            for above in self._line(node):
                self.open[above] -= 1

    @property
    def exhausted(self) -> bool:
        return not self.open[self.root]

    def _line(self, node: int) -> Iterator[int]:
        """A node and its tree ancestors, upwards."""
        while True:
            yield node
            parents = self.nodes[node].parents
            if not parents:
                return
            node = parents[0]

    @property
    def best(self) -> int:
        """Highest score, ties to the lower id."""
        return self._ranking[0][1]

    @property
    def best_score(self) -> float:
        return -self._ranking[0][0] if self._ranking else 0.0

    def ranking(self) -> Iterator[int]:
        """Ids by score, ties to the lower id."""
        return (node for _, node in self._ranking)

    def candidates_to_expand(self) -> Iterator[int]:
        """The ranking without closed nodes."""
        return (node for node in self.ranking() if node not in self.closed)

    # lineage, by tree parents

    def ancestors(self, node: int) -> list[int]:
        """Root first, the node itself excluded."""
        return list(self._line(node))[:0:-1]

    def siblings(self, node: int) -> list[int]:
        parents = self.nodes[node].parents
        return [n for n in self.children[parents[0]] if n != node] if parents else []

    def subtree(self, node: int) -> list[int]:
        """The node and everything below it, sorted."""
        found, todo = [], [node]
        while todo:
            found.append(todo.pop())
            todo.extend(self.children[found[-1]])
        return sorted(found)

    def failed_in_lineage(self, node: int) -> list[int]:
        """Ancestors, and the node, that were judged and have no fitness."""
        return [n for n in [*self.ancestors(node), node] if self._failed(n)]

    def _failed(self, node: int) -> bool:
        return node not in self.pending and self.score[node] <= 0
