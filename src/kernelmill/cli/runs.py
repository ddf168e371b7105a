"""``kernelmill runs list | show | export | delete``."""

from __future__ import annotations

import sys
from typing import Any

import typer
from rich.text import Text

from kernelmill.cli import show


def list_(store: str | None, as_json: bool) -> int:
    from kernelmill.search import list_runs

    found = list_runs(store)
    if as_json:
        show.print_json(found)
        return 0
    if not found:
        show.console().print("no runs yet")
        return 0
    made = show.table(
        "run", "task", "status", "judged", "right", "best", "seconds", right=(3, 4, 5)
    )
    for run in found:
        made.add_row(
            Text(str(run["id"])),
            Text(str(run["task"])),
            Text(_status(run)),
            str(run.get("candidates", "-")),
            str(run.get("accepted", "-")),
            show.ratio(run.get("best")),
            f"{run['seconds']:.0f}" if run.get("seconds") is not None else "-",
        )
    show.console().print(made)
    return 0


def show_(run_id: str, store: str | None, as_json: bool) -> int:
    from kernelmill.search import show_run

    run = show_run(store, run_id)
    if as_json:
        show.print_json(run)
        return 0
    out = show.console()
    out.print(Text(f"{run['id']}  {run['task']}  {_status(run)}", style="bold"))
    made = show.table("node", "from", "backend", "verdict", "speed-up", "candidate", right=(0, 4))
    for node in run["nodes"]:
        made.add_row(
            str(node["id"]),
            ",".join(map(str, node.get("parents") or ())),
            Text(str(node.get("backend", ""))),
            Text(_verdict(node)),
            show.ratio(node.get("fitness") or None),
            Text(str(node.get("name", ""))),
        )
    out.print(made)
    return 0


def export(run_id: str, path: str, store: str | None) -> int:
    from kernelmill.search import export_run

    count = export_run(store, run_id, path)
    if path != "-":
        print(f"{count} lines written to {path}", file=sys.stderr)
    return 0


def delete(run_id: str, yes: bool, store: str | None) -> int:
    from kernelmill.search import delete_run, show_run

    run = show_run(store, run_id)
    if not yes:
        question = f"delete run {run_id} of {run['task']} with {len(run['nodes'])} nodes?"
        if not typer.confirm(question, err=True):
            return 1
    count = delete_run(store, run_id)
    print(f"deleted {run_id} ({count} nodes)", file=sys.stderr)
    return 0


def _status(run: dict[str, Any]) -> str:
    reason = run.get("stop_reason")
    return f"{run.get('status', '-')} ({reason})" if reason else str(run.get("status", "-"))


def _verdict(node: dict[str, Any]) -> str:
    reasons = node.get("reasons") or ()
    first = reasons[0] if reasons else None
    code = first.get("code", "") if isinstance(first, dict) else str(first or "")
    return " ".join(part for part in (str(node.get("status") or "waiting"), code) if part)
