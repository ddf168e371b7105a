"""``kernelmill kv-eval``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from kernelmill.cli import show


def main(
    model: str, text: Path, press: str, ratio: float, *, threads: int | None, as_json: bool,
    **options: Any,
) -> int:  # fmt: skip
    import torch

    try:
        from kernelmill.models.kv_eval import evaluate_file
    except ImportError as error:
        raise ValueError(str(error)) from error
    if threads is not None:
        torch.set_num_threads(threads)
    report = evaluate_file(model, text, press, ratio, **options)
    if as_json:
        show.print_json(asdict(report))
    else:
        _print(report)
    return 0


def _print(report: Any) -> None:
    out = show.console()
    out.print(
        f"{report.windows} windows, prefix of {report.prefix} tokens, {report.scored} tokens scored"
    )
    made = show.table("", "perplexity", "attention error", "cache", "token", right=(1, 2, 3, 4))
    made.add_row(
        "whole cache", f"{report.full_perplexity:.3f}", "0", _size(report.full_bytes),
        show.milliseconds(1e3 * report.full_step_seconds),
    )  # fmt: skip
    made.add_row(
        f"{report.press}, {report.share:g}", f"{report.perplexity:.3f}",
        f"{report.attention_error:.4f}", _size(report.bytes),
        show.milliseconds(1e3 * report.step_seconds),
    )  # fmt: skip
    out.print(made)
    out.print(
        f"compressing a prefix, all layers: {show.milliseconds(1e3 * report.compress_seconds)}"
    )


def _size(count: int) -> str:
    return f"{count / 2**20:.3g} MiB"
