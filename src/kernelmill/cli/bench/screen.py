"""``kernelmill bench screen``: what verifiers think of a folder, and what their screen is worth."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from kernelmill.bench.folder import read_candidates
from kernelmill.bench.generation import generation_of
from kernelmill.bench.store import BenchStore
from kernelmill.bench.verifiers import LanguageVerifier, Verifier, effect, screen, static_verifiers
from kernelmill.cli.bench.asking import asking
from kernelmill.cli.bench.progress import bar
from kernelmill.cli.show import console, print_json, table
from kernelmill.tasks import Suite


def main(
    folder: Path,
    tasks: Suite,
    *,
    backend: str | None,
    threshold: float,
    model: str | None,
    base_url: str | None,
    api_key_env: str,
    run: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Exit code 1 where a candidate is held back. Nothing is run."""
    asked = generation_of(folder)
    items, notes = read_candidates(folder, tasks, backend or asked.get("backend"))
    for note in notes:
        print(f"kernelmill: {note}", file=sys.stderr)
    screened = []
    with asking(model, base_url, api_key_env) if model else nullcontext() as ask:
        verifiers: list[Verifier] = [*static_verifiers()]
        if ask:
            verifiers.append(LanguageVerifier(ask))
        with bar("read", len(items), quiet=as_json) as step:
            for item in items:
                text = item.candidate.source
                screened += screen(tasks[item.task].source, [text], verifiers, threshold)
                step(item.task)
    rows = [
        {
            "task": item.task, "sample": item.sample, "passed": one.passed,
            "scores": {name: review.score for name, review in one.reviews.items()},
            "reasons": [r for review in one.reviews.values() for r in review.reasons],
        }
        for item, one in zip(items, screened, strict=True)
    ]  # fmt: skip
    effects = _effects(items, screened, [v.name for v in verifiers], threshold, run, store)
    held = [row for row in rows if not row["passed"]]
    if as_json:
        print_json({"candidates": rows, "effects": effects})
        return 1 if held else 0
    out = console()
    shown = table("task", "sample", "verdict", "reasons", right=(1,))
    for row in rows:
        if row["reasons"]:
            verdict = "passed" if row["passed"] else "held back"
            shown.add_row(row["task"], str(row["sample"]), verdict, "; ".join(row["reasons"]))
    if shown.row_count:
        out.print(shown)
    out.print(f"{len(held)} of {len(rows)} candidates held back at a threshold of {threshold:g}")
    if effects:
        summary = table("screen", "right before", "right after", "wrong ones saved",
                        "right ones lost", right=(1, 2, 3, 4))  # fmt: skip
        for name, found in effects.items():
            shares = [_share(found["before"]), _share(found["after"])]
            summary.add_row(name, *shares, str(found["saved"]), str(found["lost"]))
        out.print(summary)
    return 1 if held else 0


def _effects(
    items: list, screened: list, names: list[str], threshold: float, run: str | None,
    store: str | None,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """For each verifier and for all, over the candidates that a run has judged. A verifier that
    was not asked, because an earlier one held the candidate back, counts as passing it."""
    if run is None:
        return {}
    with BenchStore(store) as known:
        judged = {(r.task, r.sample, r.candidate): r.correct for r in known.results(run)}
    pairs = []
    for item, one in zip(items, screened, strict=True):
        key = (item.task, item.sample, item.candidate.hash)
        if key in judged:
            pairs.append((judged[key], one))
    if not pairs:
        raise ValueError(f"run {run!r} has judged none of these candidates")
    correct = [good for good, _ in pairs]
    found = {}
    for name in names:
        scores = [one.reviews[name].score if name in one.reviews else 1.0 for _, one in pairs]
        found[name] = effect(correct, [score >= threshold for score in scores])
    found["all"] = effect(correct, [one.passed for _, one in pairs])
    return {name: vars(value) for name, value in found.items()}


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
