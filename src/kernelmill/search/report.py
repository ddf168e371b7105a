"""A run as one HTML file that needs nothing else: no scripts, no fonts, no network."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from kernelmill.search.highlight import highlight, language_of
from kernelmill.search.page import page, pretty
from kernelmill.search.plots import error_plot, graph_plot, progress_plot
from kernelmill.search.runs import show_run
from kernelmill.search.store import Store

STOPPED = {
    "target": "the target was reached",
    "max_artifacts": "the number of candidates was reached",
    "wall_clock": "the time was up",
    "stall": "nothing better came any more",
    "floor": "the physical floor was reached",
    "exhausted": "the proposers had no further ideas",
    "untestable": "the problem admits no judgement of speed",
}
GRAPH_NODES = 400  # more are not legible
SOURCE_CHARACTERS = 60_000
ALL_SOURCES_CHARACTERS = 1_500_000


def write_report(store: Any, run_id: str, path: str | Path) -> Path:
    """Write the report of a run, finished or not.

    Raises:
        StoreMismatch: there is no such run.
        OSError: the file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(Store.open(store), run_id), encoding="utf-8")
    return path


def render(store: Store, run_id: str) -> str:
    """The report's HTML."""
    return page("report.html.j2", Path(__file__).parent, **context(store, run_id))


def context(store: Store, run_id: str) -> dict[str, Any]:
    """What the template shows."""
    run = show_run(store, run_id)
    task = store.get_task(run["task_hash"])
    nodes, result = run["nodes"], run["result"] or {}
    judged = [n for n in nodes if n["id"] and n["status"] != "pending"]
    winner = result.get("winner", max(nodes, key=lambda n: (n["fitness"], -n["id"]))["id"])
    node = nodes[winner]
    rows = result.get("rows") or []
    by_label = {row["label"]: row for row in rows}
    compiled = by_label.get("torch.compile", {}).get("ratio")
    proposers = list(dict.fromkeys(n["proposer"] for n in judged))
    colours = {name: i % 6 for i, name in enumerate(proposers)}
    ranked = sorted(judged, key=lambda n: (-n["fitness"], n["id"]))
    shown = nodes if len(nodes) <= GRAPH_NODES else _pruned(nodes, winner)
    return {
        "run": run,
        "task": task,
        "name": task.name,
        "headline": _headline(by_label, node, winner),
        "summary": result.get("summary") or f"This run is {run['status']}.",
        "stopped": STOPPED.get(run["stop_reason"] or "", run["status"]),
        "rows": rows,
        "remeasured": result.get("remeasured", False),
        "widest": max([1.0, *(r["ratio"] or 0 for r in rows)]),
        "judged": judged,
        "counts": {s: sum(n["status"] == s for n in judged) for s in ("accept", "reject", "error")},
        "legend": [(name, colours[name]) for name in proposers],
        "progress_svg": progress_plot(judged, colours, compiled, winner, run["seconds"]),
        "graph_svg": graph_plot(shown, winner),
        "graph_left_out": len(nodes) - len(shown),
        "error_svg": error_plot(judged, winner),
        "winner": node,
        "reference_html": _source(task.source),
        "winner_html": _source(node["source"]) if winner else "",
        "sources": _sources(ranked),
        "ranked": ranked,
        "facts": _facts(run),
        "made": time.strftime("%Y-%m-%d %H:%M", time.localtime(run["updated"])),
        "version": run["environment"].get("kernelmill", ""),
    }


def _headline(rows: dict[str, Any], node: dict[str, Any], winner: int) -> dict[str, str]:
    """The largest figure of the page and what stands under it."""
    row = rows.get("winner")
    if not winner:
        return {"figure": "1.00×", "text": "Nothing was faster than the reference, which stays."}
    ratio = row["ratio"] if row and row["ratio"] else node["fitness"]
    text = "as fast as eager PyTorch"
    if row and row["interval"]:
        low, high = row["interval"]
        text += f" (95 % interval {low:.2f} to {high:.2f})"
    compiled = rows.get("torch.compile")
    if compiled and compiled["ratio"] and compiled["node"] != winner:
        text += f", {ratio / compiled['ratio']:.2f} times as fast as torch.compile"
    return {"figure": f"{ratio:.2f}×", "text": text}


def _pruned(nodes: list[dict[str, Any]], winner: int) -> list[dict[str, Any]]:
    """The fittest nodes with their ancestors."""
    parents = {n["id"]: n["parents"] for n in nodes}
    keep: set[int] = {0}
    for n in sorted(nodes, key=lambda n: (n["id"] != winner, -n["fitness"], n["id"])):
        line, todo = set(), [n["id"]]
        while todo:
            line.add(todo.pop())
            todo.extend(p for i in line for p in parents[i] if p not in line)
        if len(keep | line) > GRAPH_NODES:
            break
        keep |= line
    return [n for n in nodes if n["id"] in keep]


def _sources(nodes: list[dict[str, Any]]) -> dict[int, Any]:
    """Sources by node, fittest first, as far as they keep the file handy."""
    found, left = {}, ALL_SOURCES_CHARACTERS
    for n in nodes:
        left -= min(len(n["source"]), SOURCE_CHARACTERS)
        if left < 0:
            break
        found[n["id"]] = _source(n["source"])
    return found


def _source(text: str) -> Any:
    from markupsafe import Markup

    text = text.strip("\n")
    if len(text) > SOURCE_CHARACTERS:
        text = text[:SOURCE_CHARACTERS] + f"\n# ... {len(text) - SOURCE_CHARACTERS} more characters"
    return Markup(highlight(text, language_of(text)))


def _facts(run: dict[str, Any]) -> list[tuple[str, str]]:
    """Environment and settings, flattened to rows."""
    environment = dict(run["environment"])
    judge, settings = environment.pop("judge", None), environment.pop("settings", None)
    cpu = environment.pop("cpu", None)
    rows: list[tuple[str, Any]] = []
    if isinstance(cpu, dict):
        rows += [("processor", cpu.get("model")), ("instruction sets", ", ".join(cpu["isa"]))]
    rows += list(environment.items())
    known = {key for key, _ in rows} | {"cpu", "machine"}
    if isinstance(judge, dict):
        rows += [(k, v) for k, v in judge.items() if k not in known]
    config = dict(run["config"])
    budget = {k: v for k, v in (config.pop("budget", None) or {}).items() if v is not None}
    rows += [("budget", budget), *config.items()]
    if isinstance(settings, dict):
        rows.append(("judge", settings))
    rows.append(("task hash", run["task_hash"]))
    return [(key.replace("_", " "), pretty(value)) for key, value in rows if value is not None]
