"""Proposers: whatever writes candidates. One module per proposer.

A proposer is a class with a ``name`` and a method (`kernelmill.search.types.Proposer`)::

    class Mine:
        name = "mine"                      # the module's name, or the entry point's

        def propose(self, task, parents, context):
            if not parents:                # a first draft
                yield Candidate(source, backend="cpp", provenance={"proposer": self.name})
            for node in parents:           # improve on these
                node.candidate.source      # the text
                node.evaluation            # errors to repair, times to beat (None: not judged)

What it yields is drawn lazily, one candidate at a time, and each is judged before the next is
asked for. ``context`` holds a seeded generator, the device, the thread count, the seconds left.

``compile``, ``library`` and ``template`` are here. A proposer of another package registers an
entry point of the group ``kernelmill.proposers``::

    [project.entry-points."kernelmill.proposers"]
    mine = "my_package.proposer:Mine"

The seat of ``llm`` is empty: a language model fits the same interface (the task's source and the
parents' sources and evaluations are its prompt, its answer is a candidate), and comes as a module
``llm.py`` here or as such an entry point.
"""

from __future__ import annotations

import logging
import pkgutil
from importlib import import_module
from importlib.metadata import entry_points

GROUP = "kernelmill.proposers"
log = logging.getLogger("kernelmill")


def discover() -> dict[str, type]:
    """Every proposer class by name: the modules of this package, then entry points. One that
    does not import is left out, with a line in the log.

    Example:
        >>> from kernelmill.search.proposers import discover
        >>> "compile" in discover()
        True
    """
    found: dict[str, type] = {}
    for info in pkgutil.iter_modules(__path__):
        if info.name.startswith("_"):
            continue
        try:
            module = import_module(f"{__name__}.{info.name}")
        except Exception as error:
            log.info("proposer %s is left out: %s: %s", info.name, type(error).__name__, error)
            continue
        for value in vars(module).values():
            if isinstance(value, type) and getattr(value, "name", None) == info.name:
                found[info.name] = value
    for entry in entry_points(group=GROUP):
        try:
            found.setdefault(entry.name, entry.load())
        except Exception as error:
            log.info("proposer %s is left out: %s: %s", entry.name, type(error).__name__, error)
    return found
