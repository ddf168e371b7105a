"""The last word: the best few, the reference and torch.compile measured again side by side.

The best of many noisy measurements is too good on average; what is reported comes from a race
that had no part in the choice.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kernelmill.evaluate.evaluation import Timing
from kernelmill.search.graph import Graph
from kernelmill.search.types import Node
from kernelmill.tasks import Task, TaskError

log = logging.getLogger("kernelmill")

COMPILE = "torch.compile"
MARGIN = 0.03


@dataclass(frozen=True)
class Row:
    """One line of the final table. ``ratio`` = reference time / this time; ``None``: unknown.

    ``label`` is ``eager``, ``torch.compile`` or ``winner``; ``name`` the candidate's own name;
    ``error`` the largest error against float64, relative to the output's largest magnitude.
    """

    label: str
    name: str
    node: int | None
    ms: float | None
    ratio: float | None
    interval: tuple[float, float] | None
    error: float | None
    remeasured: bool


@dataclass(frozen=True)
class Ranking:
    """Outcome of a run. ``timings``: node to its figures, from the race where it was held."""

    winner: int
    rows: tuple[Row, ...]
    improved: bool
    summary: str
    timings: dict[int, Timing]
    remeasured: bool


def baseline_node(graph: Graph) -> Node | None:
    """The node that is plain ``torch.compile``, judged right."""
    for node in graph.nodes.values():
        if node.candidate.provenance.get("baseline") == COMPILE and node.fitness > 0:
            return node
    return None


def contenders(graph: Graph, top: int) -> list[Node]:
    """The ``top`` fittest nodes and plain torch.compile; the reference takes part anyway."""
    fit = [graph[n] for n in graph.ranking() if n != graph.root and graph[n].fitness > 0]
    chosen = fit[:top]
    baseline = baseline_node(graph)
    if baseline is not None and baseline not in chosen:
        chosen.append(baseline)
    return chosen


def _is_faster(timing: Timing) -> bool:
    low = timing.interval[0]
    return low > 1.0 or (timing.ratio > 1.0 + MARGIN and low > 1.0 - MARGIN)


def final_ranking(
    judge: Any, task: Task, graph: Graph, top: int = 3, runs: int | None = None
) -> Ranking:
    """Race the contenders and name the winner: the fastest one that is faster than the reference
    beyond doubt or by `MARGIN` with little doubt, or the reference where there is none. (Without
    contenders the reference runs against itself, for its time.)"""
    nodes = contenders(graph, top)
    timings = _race(judge, task, nodes or [graph[graph.root]], runs)
    remeasured = bool(timings)
    if not remeasured:
        timings = {n.id: n.evaluation.timing for n in nodes}
    faster = [n for n in nodes if n.id in timings and _is_faster(timings[n.id])]
    winner = max(
        (n for n in faster if n.id != graph.root),
        key=lambda n: timings[n.id].ratio,
        default=graph[graph.root],
    )
    baseline = baseline_node(graph)
    rows = _rows(graph, winner, baseline, timings, remeasured)
    plain = baseline is not None and winner.id == baseline.id
    improved = winner.id != graph.root and not plain
    return Ranking(
        winner.id,
        rows,
        improved,
        _summary(winner, graph, baseline, timings),
        timings,
        remeasured,
    )


def _race(judge: Any, task: Task, nodes: Sequence[Node], runs: int | None) -> dict[int, Timing]:
    try:
        timings = judge.race(task, [n.candidate for n in nodes], runs=runs)
        return {n.id: t for n, t in zip(nodes, timings, strict=True)}
    except TaskError:
        raise
    except Exception as error:
        log.warning("the final race failed (%s); racing each candidate alone", error)
    alone: dict[int, Timing] = {}
    for node in nodes:
        try:
            (alone[node.id],) = judge.race(task, [node.candidate], runs=runs)
        except TaskError:
            raise
        except Exception as error:
            log.warning("%s is out of the final ranking: %s", node.candidate.name, error)
    return alone


def _rows(
    graph: Graph,
    winner: Node,
    baseline: Node | None,
    timings: dict[int, Timing],
    remeasured: bool,
) -> tuple[Row, ...]:
    judged = [n.evaluation for n in graph.nodes.values() if n.evaluation]
    reference = [t.reference_ms for t in timings.values()] or [
        e.timing.reference_ms for e in judged if e.timing
    ]
    error = next((e.errors.reference_rel for e in judged if e.errors), None)
    eager = Row(
        "eager",
        "reference",
        graph.root,
        sorted(reference)[len(reference) // 2] if reference else None,
        1.0,
        (1.0, 1.0),
        error,
        remeasured,
    )
    rows = [eager]
    if baseline is not None and baseline.id in timings:
        rows.append(_row(COMPILE, baseline, timings[baseline.id], remeasured))
    if winner.id == graph.root:
        rows.append(Row("winner", "reference", *_values(eager)))
    else:
        rows.append(_row("winner", winner, timings[winner.id], remeasured))
    return tuple(rows)


def _values(row: Row) -> tuple[Any, ...]:
    return row.node, row.ms, row.ratio, row.interval, row.error, row.remeasured


def _row(label: str, node: Node, timing: Timing, remeasured: bool) -> Row:
    errors = node.evaluation.errors if node.evaluation else None
    return Row(
        label,
        node.candidate.name,
        node.id,
        timing.candidate_ms,
        timing.ratio,
        timing.interval,
        errors.max_rel if errors else None,
        remeasured,
    )


def _summary(winner: Node, graph: Graph, baseline: Node | None, timings: dict[int, Timing]) -> str:
    judged = [n for n in graph.nodes.values() if n.evaluation is not None]
    right = sum(n.evaluation.accepted for n in judged)
    counts = f"{len(judged)} candidates judged, {right} right"
    if winner.id == graph.root:
        return f"Nothing was faster than the reference, so it stays (ratio 1.0); {counts}."
    ratio = timings[winner.id].ratio
    if baseline is not None and winner.id == baseline.id:
        return f"Nothing was faster than torch.compile, which is {ratio:.2f}x eager; {counts}."
    beyond = ""
    if baseline is not None and baseline.id in timings:
        beyond = f" and {ratio / timings[baseline.id].ratio:.2f}x torch.compile"
    return f"{winner.candidate.name} is {ratio:.2f}x eager{beyond}; {counts}."
