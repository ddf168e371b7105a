"""Whose turn is it? A bandit over proposers that remembers where each has run dry."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

from kernelmill.search.graph import Graph

FAILURES = 3  # calls in a row that raised, after which it is not asked at all


class Chooser:
    """Picks among proposers by an upper confidence bound on their candidates' relative fitness.

    Args:
        strikes: name to the number of vain calls after which a proposer is not asked about the
            same parents again (1 for one that says the same every time).

    Rebuilt on resume from the run's nodes and its ``fruitless`` events, in their order.
    """

    def __init__(self, strikes: Mapping[str, int], c: float = 0.3):
        self.names = list(strikes)
        self.strikes = dict(strikes)
        self.c = c
        self.retired: set[str] = set()
        self._calls: dict[str, int] = defaultdict(int)
        self._scores: dict[str, float] = defaultdict(float)
        self._vain: dict[tuple[str, tuple[int, ...]], int] = defaultdict(int)
        self._failures: dict[str, int] = defaultdict(int)

    def open_for(self, parents: tuple[int, ...]) -> list[str]:
        return [
            name
            for name in self.names
            if name not in self.retired and self._vain[name, parents] < self.strikes[name]
        ]

    def unheard(self) -> bool:
        """Is there a proposer that was never asked?"""
        return any(not self._calls[n] for n in self.names if n not in self.retired)

    def pick(self, graph: Graph, parents: tuple[int, ...]) -> str | None:
        """The proposer to ask about ``parents``; ``None`` where all have run dry."""
        names = self.open_for(parents)
        total = sum(self._calls[n] for n in names) + 1
        scale = graph.best_score or 1.0

        def bound(name: str) -> float:
            calls = self._calls[name]
            if not calls:
                return math.inf
            return self._scores[name] / calls / scale + self.c * math.sqrt(math.log(total) / calls)

        return max(names, key=bound, default=None)  # max keeps the first of equals

    def novel(self, name: str) -> None:
        self._calls[name] += 1
        self._failures[name] = 0

    def scored(self, name: str, score: float) -> None:
        self._scores[name] += score

    def fruitless(self, name: str, parents: tuple[int, ...], why: str) -> None:
        """``why``: ``nothing`` (new), ``raised`` or ``hung``."""
        self._calls[name] += 1
        if why != "raised":
            self._vain[name, parents] += 1
        else:
            self._failures[name] += 1
        if why == "hung" or self._failures[name] >= FAILURES:
            self.retired.add(name)
