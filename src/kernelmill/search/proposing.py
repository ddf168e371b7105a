"""Asking proposers: they may raise, return nothing or hang, and the search goes on."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any

from kernelmill.search.types import Proposer
from kernelmill.tasks import Candidate

log = logging.getLogger("kernelmill")

_ORDER = ("compile", "template", "library")  # the baseline first, then what is likely to win


class ProposerHung(Exception):
    """The proposer did not answer in time; its thread was left behind."""


class Stream:
    """What a proposer's iterable yields, drawn one by one in a thread of its own.

    Nothing runs between two calls of `next`, so a lazy proposer does not disturb a timing.
    """

    _END = object()

    def __init__(self, start: Callable[[], Iterable[Any] | None]):
        self._start = start
        self._asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.taken = 0
        self.ended = False

    def next(self, timeout: float) -> Any | None:
        """The next item, ``None`` at the end.

        Raises:
            ProposerHung: nothing came within ``timeout`` seconds.
            Exception: whatever the proposer raised.
        """
        if self.ended:
            return None
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True, name="proposer")
            self._thread.start()
        self._asked.put(True)
        try:
            item, error = self._answers.get(timeout=max(timeout, 0.001))
        except queue.Empty:
            self.ended = True
            raise ProposerHung(f"no answer within {timeout:.3g} s") from None
        if error is not None:
            self.ended = True
            raise error
        if item is self._END:
            self.ended = True
            return None
        self.taken += 1
        return item

    def close(self) -> None:
        self.ended = True
        self._asked.put(False)

    def _work(self) -> None:
        items: Iterator[Any] | None = None
        while self._asked.get():
            try:
                if items is None:
                    items = iter(self._start() or ())
                self._answers.put((next(items, self._END), None))
            except BaseException as error:  # a SystemExit of a proposer must not pass unseen
                if not isinstance(error, Exception):
                    error = RuntimeError(f"{type(error).__name__}: {error}")
                self._answers.put((None, error))
                return


def as_candidate(item: Any, proposer: str) -> Candidate:
    """A candidate as it is, or source text as a candidate of the ``torch`` backend.

    Raises:
        TypeError: it is neither.
        ValueError: the source is empty.
    """
    if isinstance(item, str):
        item = Candidate(item)
    if not isinstance(item, Candidate):
        raise TypeError(f"a proposer yields Candidate or source text, got {type(item).__name__}")
    if not item.source.strip():
        raise ValueError("the candidate's source is empty")
    provenance = {"proposer": proposer, **item.provenance}
    return Candidate(item.source, item.backend, item.name or proposer, provenance)


def known_proposers() -> dict[str, type]:
    """Proposer classes by name, in the order in which they are asked first."""
    try:
        discover = import_module("kernelmill.search.proposers").discover
    except ImportError as error:
        log.info("there are no proposers here: %s", error)
        return {}
    found = discover()
    order = sorted(found, key=lambda n: (_ORDER.index(n) if n in _ORDER else len(_ORDER), n))
    return {name: found[name] for name in order}


def _start(proposer: type, name: str) -> Proposer | None:
    """An instance; ``None``, with a line in the log, where it cannot work here."""
    try:
        return proposer()
    except Exception as error:  # an extra that is not installed, a broken toolchain
        log.info("proposer %s is left out: %s: %s", name, type(error).__name__, error)
        return None


def make_proposers(proposers: Iterable[str | Proposer] | None) -> list[Proposer]:
    """Proposers by name or as they are; ``None``: all that there are.

    Raises:
        ValueError: an unknown name, two of one name, or none at all.
    """
    if proposers is None:
        found = [_start(proposer, name) for name, proposer in known_proposers().items()]
        return [p for p in found if p is not None]
    if isinstance(proposers, str):
        proposers = [name.strip() for name in proposers.split(",")]
    made: list[Proposer] = []
    for item in proposers:
        proposer = item
        if isinstance(item, str):
            known = known_proposers()
            proposer = _start(known[item], item) if item in known else None
        if proposer is None:
            known = ", ".join(known_proposers()) or "none here"
            raise ValueError(f"proposers: {item!r} cannot be used; there are {known}")
        if not callable(getattr(proposer, "propose", None)) or not getattr(proposer, "name", ""):
            raise ValueError(
                f"proposers: wanted objects with a name and propose(task, parents, context), "
                f"got {proposer!r}"
            )
        if any(p.name == proposer.name for p in made):
            raise ValueError(f"proposers: two are called {proposer.name!r}")
        made.append(proposer)
    if not made:
        raise ValueError("proposers: got none, wanted at least one")
    return made
