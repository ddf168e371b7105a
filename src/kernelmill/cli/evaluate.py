"""``kernelmill evaluate`` and ``kernelmill lint``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.text import Text

from kernelmill.cli import show
from kernelmill.cli.load import load_candidate, load_task

STYLES = {"accept": "bold green", "reject": "bold red", "error": "bold red"}


def main(
    reference: str,
    path: Path,
    *,
    backend: str | None,
    settings: list[str],
    as_json: bool,
    **judging: Any,
) -> int:
    task = load_task(reference, settings)
    candidate = load_candidate(path, backend)
    from kernelmill.evaluate import evaluate

    evaluation = evaluate(task, candidate, **judging)
    if as_json:
        show.print_json(evaluation.to_dict())
    else:
        print_evaluation(evaluation, candidate.backend)
    return 0 if evaluation.accepted else 1


def print_evaluation(evaluation: Any, backend: str) -> None:
    out = show.console()
    verdict = {"accept": "accepted", "reject": "rejected"}.get(evaluation.status, evaluation.status)
    where = "" if evaluation.accepted else f"at stage {evaluation.stage} "
    out.print(
        Text(verdict, style=STYLES.get(evaluation.status, "bold yellow")),
        Text(f"{where}({backend}, {evaluation.seconds:.1f} s)"),
    )
    for reason in evaluation.reasons:
        out.print(Text(f"  {reason.code}: {reason.message}"))
    for warning in evaluation.warnings:
        out.print(Text(f"  warning, {warning.code}: {warning.message}", style="yellow"))
    made = show.table("", "")
    if evaluation.errors and evaluation.errors.cases:
        errors = evaluation.errors
        made.add_row("cases compared", str(errors.cases))
        made.add_row(
            "error against float64",
            f"{show.error(errors.max_abs)} absolute, {show.error(errors.max_rel)} relative",
        )
        made.add_row(
            "the reference's own",
            f"{show.error(errors.reference_abs)} absolute, "
            f"{show.error(errors.reference_rel)} relative",
        )
    if evaluation.timing:
        timing = evaluation.timing
        made.add_row("reference", show.milliseconds(timing.reference_ms))
        made.add_row("candidate", show.milliseconds(timing.candidate_ms))
        made.add_row("speed-up (95 %)", show.ratio(timing.ratio, timing.interval))
        made.add_row("interleaved pairs", str(timing.runs))
        if timing.floor_ms:
            made.add_row("floor of the hardware", show.milliseconds(timing.floor_ms))
    if evaluation.seed is not None:
        made.add_row("seed (--seed replays)", str(evaluation.seed))
    made.show_header = False
    out.print(made)


def lint(reference: str, settings: list[str], as_json: bool) -> int:
    task = load_task(reference, settings)
    from kernelmill.evaluate import Judge, Settings

    with Judge(Settings(timing=False)) as judge:
        report = judge.lint(task)
    if as_json:
        show.print_json({"task": task.name, "hash": task.hash, **asdict(report)})
    else:
        out = show.console()
        style = "bold green" if report.verdict == "ok" else "bold yellow"
        out.print(Text(f"{task.name}:"), Text(report.verdict, style=style))
        for finding in report.findings:
            out.print(Text(f"  {finding.code}: {finding.message}"))
        out.print(
            Text(f"  {report.category or 'no category'}, {report.flops:,} FLOPs in products,"),
            Text(f"{report.bytes:,} bytes of inputs, weights and outputs"),
        )
    return 0 if report.verdict == "ok" else 1
