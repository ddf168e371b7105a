"""The command line: ``kernelmill`` (thin: parse, call, print)."""

from __future__ import annotations

import sys

MISSING = "the command line needs the workbench extra: pip install 'kernelmill[workbench]'"


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done or accepted, 1 rejected, 2 unusable
    arguments or a broken reference, 3 a fault of kernelmill itself, 130 interrupted."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        from kernelmill.cli.run import run
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in {"typer", "rich", "click"}:
            raise
        print(f"kernelmill: {MISSING}", file=sys.stderr)
        return 2
    return run(argv)


def script() -> None:
    """Entry point of ``python -m kernelmill``."""
    sys.exit(main())
