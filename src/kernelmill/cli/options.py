"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Store = Annotated[
    str | None,
    typer.Option(help="File or SQLAlchemy URL; default kernelmill-runs/store.db."),
]
Seed = Annotated[int | None, typer.Option(help="Replay the secret seed of an evaluation.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads of reference and candidate.")]
