"""What `kernelmill runs` does: list, show, export, delete."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kernelmill.search.records import NodeRecord, RunRecord
from kernelmill.search.store import Store


def list_runs(store: Any = None) -> list[dict[str, Any]]:
    """One dictionary per run, newest first: id, task, status, stop_reason, candidates, accepted,
    best, created, updated, seconds.

    Raises:
        StoreError: the store cannot be opened.

    Example:
        >>> list_runs(":memory:")
        []
    """
    return [{**_head(record), **counts} for record, counts in Store.open(store).list_runs()]


def _head(record: RunRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "task_hash": record.task,
        "status": record.status,
        "stop_reason": record.stop_reason,
        "created": record.created,
        "updated": record.updated,
        "seconds": record.elapsed,
    }


def show_run(store: Any, run_id: str) -> dict[str, Any]:
    """Everything of a run: the fields of `list_runs`, config, environment, result (``None`` before
    its end), nodes (id, parents, name, backend, proposer, status, fitness, timing, errors,
    reasons, source...) and events.

    Raises:
        StoreMismatch: there is no such run.
    """
    store = Store.open(store)
    record = store.get_run(run_id)
    counts = next(c for r, c in store.list_runs() if r.id == run_id)
    return {
        **_head(record),
        **counts,
        "config": record.config,
        "environment": store.get_environment(record.environment),
        "result": record.result,
        "nodes": [_node(n) for n in store.load_nodes(run_id)],
        "events": store.load_events(run_id),
    }


def _node(record: NodeRecord) -> dict[str, Any]:
    node, evaluation = record.node, record.node.evaluation
    facts = {
        "id": node.id,
        "parents": list(node.parents),
        "name": node.candidate.name,
        "backend": node.candidate.backend,
        "proposer": node.candidate.provenance.get("proposer"),
        "hash": node.candidate.hash,
        "status": "reference" if node.id == 0 else "pending",
        "stage": None,
        "fitness": 1.0 if node.id == 0 else node.fitness,
        "elapsed": record.elapsed,
        "reused": record.reused,
        "provenance": dict(node.candidate.provenance),
        "source": node.candidate.source,
        "timing": None,
        "errors": None,
        "reasons": [],
        "warnings": [],
        "seconds": 0.0,
    }
    if evaluation is not None:
        facts.update(
            status=evaluation.status,
            stage=evaluation.stage,
            timing=asdict(evaluation.timing) if evaluation.timing else None,
            errors=asdict(evaluation.errors) if evaluation.errors else None,
            reasons=[asdict(r) for r in evaluation.reasons],
            warnings=[asdict(w) for w in evaluation.warnings],
            seconds=evaluation.seconds,
        )
    return facts


def export_run(store: Any, run_id: str, path: str | Path) -> int:
    """Write a run as JSON lines: one ``{"kind": "run", ...}``, one ``task``, then a ``node`` each
    and the ``event``s. ``-`` is standard output. Returns the number of lines.

    Raises:
        StoreMismatch: there is no such run.
        OSError: the file cannot be written.
    """
    store = Store.open(store)
    lines = list(_lines(store, run_id))
    if str(path) == "-":
        sys.stdout.writelines(lines)
    else:
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(lines)
    return len(lines)


def _lines(store: Store, run_id: str) -> Iterator[str]:
    run = show_run(store, run_id)
    nodes, events = run.pop("nodes"), run.pop("events")
    task = store.get_task(run["task_hash"])
    facts = {**asdict(task), "hash": task.hash, "payload": task.payload and len(task.payload)}
    rows = [{"kind": "run", **run}, {"kind": "task", **facts}]
    rows += [{"kind": "node", **node} for node in nodes]
    rows += [{"kind": "event", "event": e.pop("kind"), **e} for e in events]
    return (json.dumps(row, default=str) + "\n" for row in rows)


def delete_run(store: Any, run_id: str) -> int:
    """Delete a run, its nodes and events; returns the number of nodes. Evaluations stay, for
    other runs to use; files (winner, report) stay too.

    Raises:
        StoreMismatch: there is no such run.
    """
    return Store.open(store).delete_run(run_id)
