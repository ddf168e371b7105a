"""Search: proposers write candidates, the judge measures them, the store remembers."""

from __future__ import annotations

from importlib import import_module

_EXPORTS = {
    "Budget": "budget",
    "parse_budget": "budget",
    "Context": "types",
    "Node": "types",
    "Proposer": "types",
    "Interrupted": "errors",
    "SearchError": "errors",
    "StoreError": "errors",
    "StoreMismatch": "errors",
    "WinnerError": "errors",
    "Store": "store",
    "Graph": "graph",
    "Event": "events",
    "Run": "run",
    "optimize": "api",
    "optimize_task": "api",
    "OptimizeResult": "api",
    "Row": "ranking",
    "Deployed": "deployed",
    "load": "deployed",
    "save_winner": "winner",
    "write_report": "report",
    "list_runs": "runs",
    "show_run": "runs",
    "export_run": "runs",
    "delete_run": "runs",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str):
    if name in _EXPORTS:
        return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
