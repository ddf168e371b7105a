"""What `kernelmill runs` does: list, show, export, delete."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def list_runs(store: Any = None) -> list[dict[str, Any]]:
    """One dictionary per run, newest first: id, task, status, stop_reason, candidates, accepted,
    best, created, updated, seconds."""
    raise NotImplementedError


def show_run(store: Any, run_id: str) -> dict[str, Any]:
    """Everything of a run: the fields of `list_runs`, config, environment, result, nodes (list of
    dictionaries: id, parents, name, backend, status, fitness, reasons, ...) and events."""
    raise NotImplementedError


def export_run(store: Any, run_id: str, path: str | Path) -> int:
    """Write a run as JSON lines (``-``: standard output); returns the number of lines."""
    raise NotImplementedError


def delete_run(store: Any, run_id: str) -> int:
    """Delete a run, its nodes and events; returns the number of nodes. Evaluations stay."""
    raise NotImplementedError
