"""A progress bar on standard error, or plain lines where that is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINES = 20  # how many plain lines a whole command prints at the most


@contextmanager
def bar(title: str, total: int, *, done: int = 0, quiet: bool = False) -> Iterator[Callable]:
    """Gives ``step(name)``, to be called once per finished item.

    Args:
        title: shown in front. total: number of items, ``done`` of them already.
        quiet: show nothing.
    """
    if quiet or total == 0:
        yield lambda name="": None
    elif sys.stderr.isatty():
        yield from _rich(title, total, done)
    else:
        yield _plain(title, total, done)


def _rich(title: str, total: int, done: int) -> Iterator[Callable]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = [
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[name]}"),
    ]  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as progress:
        item = progress.add_task(title, total=total, completed=done, name="")
        yield lambda name="": progress.update(item, advance=1, name=name)


def _plain(title: str, total: int, done: int) -> Callable:
    start, state = time.monotonic(), {"done": done}
    every = max(total // LINES, 1)

    def step(name: str = "") -> None:
        state["done"] += 1
        if state["done"] % every == 0 or state["done"] == total:
            seconds = time.monotonic() - start
            print(f"{title}: {state['done']}/{total} after {seconds:.0f} s ({name})",
                  file=sys.stderr, flush=True)  # fmt: skip

    return step
