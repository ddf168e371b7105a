"""``kernelmill bench generate``: ask a language model for candidates."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kernelmill.bench.generation import Budget, Client, Plan, Prices, Summary, generate
from kernelmill.bench.generation.pace import Pace
from kernelmill.bench.prompts import render
from kernelmill.cli.bench.progress import bar
from kernelmill.cli.show import console, print_json


def main(
    folder: Path,
    plan: Plan,
    *,
    model: str,
    base_url: str | None,
    api_key_env: str,
    concurrency: int,
    requests_per_minute: float | None,
    tokens_per_minute: float | None,
    budget: dict[str, Any],
    prices: tuple[float | None, float | None],
    retries: int,
    timeout_s: float,
    stream: bool,
    cache: Path | None,
    options: list[str],
    dry_run: bool,
    as_json: bool,
) -> int:
    """Exit code 0 where every sample is there, 1 where one is missing."""
    limits = Budget(**budget, prices=Prices(*prices))
    fields = _fields(options)
    if dry_run:
        task = next(iter(plan.suite))
        print(render(task, plan.backend, plan.strategy, shots=plan.shots, template=plan.template))
        return 0

    def client() -> Client:
        return Client(
            model, base_url, os.environ.get(api_key_env), retries=retries, timeout_s=timeout_s,
            stream=stream, budget=limits, requests=Pace(requests_per_minute),
            tokens=Pace(tokens_per_minute), options=fields,
        )  # fmt: skip

    total = len(plan.suite) * plan.samples
    with bar("answered", total, quiet=as_json) as step:
        summary = generate(
            plan, client, folder, concurrency=concurrency, cache=cache, progress=step
        )
    if as_json:
        print_json(summary.to_dict())
    else:
        _print(summary, folder)
    return 0 if summary.complete else 1


def _fields(options: list[str]) -> dict[str, Any]:
    import json

    found = {}
    for text in options:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError(f"--option wants NAME=VALUE, got {text!r}")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _print(summary: Summary, folder: Path) -> None:
    out = console()
    have = summary.asked + summary.cached + summary.there
    out.print(
        f"{have} of {summary.total} answers in {folder}: {summary.asked} asked now, "
        f"{summary.cached} from the cache, {summary.there} there before"
    )
    cost = "" if summary.usd is None else f", {summary.usd:.4f} USD"
    out.print(f"{summary.requests} requests, {summary.tokens} tokens{cost} in all", highlight=False)
    for count, text in (
        (summary.no_code, "without code"),
        (summary.truncated, "cut off at --max-tokens"),
    ):
        if count:
            out.print(f"{count} answers {text}")
    for task, sample, why in summary.failed[:10]:
        out.print(f"failed: {task} sample {sample}: {why}", markup=False)
    if len(summary.failed) > 10:
        out.print(f"... and {len(summary.failed) - 10} more failed")
    if summary.stopped:
        out.print(f"stopped: {summary.stopped}", markup=False)
    if not summary.complete:
        out.print("the same command goes on where this one ended")
