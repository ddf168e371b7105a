"""Runs the app and turns whatever is raised into one sentence and an exit code."""

from __future__ import annotations

import os
import sys
import traceback

import typer

from kernelmill.cli.app import app

REJECTED, UNUSABLE, FAULT, INTERRUPTED = 1, 2, 3, 130
# typer brings its own copy of click in newer versions; its classes are found by inheritance.
_CLICK_ERROR = typer.BadParameter.__mro__[2]


def run(argv: list[str]) -> int:
    debug = "--debug" in argv
    argv = [argument for argument in argv if argument != "--debug"]
    try:
        code = app(args=argv, prog_name="kernelmill", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except typer.Exit as exit_:
        return exit_.exit_code
    except _CLICK_ERROR as error:  # wrong options: usage and a sentence
        error.show()
        return UNUSABLE
    except typer.Abort:
        return _say("interrupted", INTERRUPTED)
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:  # `| head` has seen enough; keep Python quiet at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _explain(error, debug)


def _explain(error: Exception, debug: bool) -> int:
    interrupted, known = _known_errors()
    if isinstance(error, interrupted):
        store = f" --store {error.store}" if error.store else ""
        return _say(
            f"interrupted; everything judged so far is saved. Go on with: "
            f"kernelmill optimize --resume {error.run_id}{store}",
            INTERRUPTED,
        )
    if isinstance(error, known):
        return _say(str(error), UNUSABLE)
    if isinstance(error, MemoryError):
        return _say("out of memory; make the task smaller with --set NAME=VALUE", UNUSABLE)
    hint = "" if debug else " (--debug shows the traceback)"
    return _say(f"internal error: {type(error).__name__}: {error}{hint}", FAULT)


def _known_errors() -> tuple[tuple[type, ...], tuple[type, ...]]:
    """The exceptions that say what the user can do about them."""
    from kernelmill.tasks import CandidateError, TaskError

    interrupted: tuple[type, ...] = ()
    known: tuple[type, ...] = (TaskError, CandidateError, ValueError, FileNotFoundError)
    known += (PermissionError, IsADirectoryError)
    if "kernelmill.evaluate.judge" in sys.modules:
        known += (sys.modules["kernelmill.evaluate.judge"].SandboxUnavailable,)
    if "kernelmill.search.errors" in sys.modules:
        errors = sys.modules["kernelmill.search.errors"]
        interrupted = (errors.Interrupted,)
        known += (errors.SearchError,)
    return interrupted, known


def _say(message: str, code: int) -> int:
    text = " ".join(message.split("\n")) if message.count("\n") < 2 else message
    print(f"kernelmill: {text}", file=sys.stderr)
    return code
