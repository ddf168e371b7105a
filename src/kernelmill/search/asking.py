"""Getting new candidates out of proposers, on behalf of a run."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from kernelmill.search.normalise import normal_hash
from kernelmill.search.proposing import Stream, as_candidate
from kernelmill.search.types import Context
from kernelmill.tasks import Candidate

if TYPE_CHECKING:
    from kernelmill.search.run import Run

DRAWS = 64  # items of one proposal that are looked at for a new one


class Desk:
    """Asks the proposers of ``run`` and sifts out what is in its graph already.

    A proposer's drafts are drawn from one stream that stays open between calls; how far it was
    drawn is part of the run's state. An improvement is a call of its own.
    """

    def __init__(self, run: Run, dedupe: bool, propose_seconds: float, context: dict[str, Any]):
        self.run = run
        self.dedupe = dedupe
        self.propose_seconds = propose_seconds
        self.context = context
        self._streams: dict[str, Stream] = {}

    def draft(self, name: str, seed: str) -> Candidate | None:
        """The next draft of a proposer that is new; ``None`` where it has none.

        Raises:
            ProposerHung: it did not answer in time.
            Exception: whatever it raised.
        """
        kept = self.run.state.streams
        stream = self._streams.get(name)
        if stream is None or stream.ended:
            seed, taken = kept.get(name, (seed, 0))
            stream = self._streams[name] = self._open(name, (), seed)
            for _ in range(taken):  # drawn before the run was interrupted
                if stream.next(self._patience()) is None:
                    break
        else:
            seed = kept[name][0]
        try:
            candidate = self._first_new(stream, name)
            if candidate is None and stream.taken:
                # a proposer with one idea per call: ask again for the next one
                seed = f"{seed}+{stream.taken}"
                stream = self._streams[name] = self._open(name, (), seed)
                candidate = self._first_new(stream, name)
            return candidate
        finally:
            if stream.ended:
                kept.pop(name, None)
            else:
                kept[name] = (seed, stream.taken)

    def improve(self, name: str, parents: tuple[int, ...], seed: str) -> Candidate | None:
        """A new candidate derived from ``parents``; raises like `draft`."""
        stream = self._open(name, parents, seed)
        try:
            return self._first_new(stream, name)
        finally:
            stream.close()

    def close(self) -> None:
        for stream in self._streams.values():
            stream.close()

    def _open(self, name: str, parents: tuple[int, ...], seed: str) -> Stream:
        run = self.run
        first = parents[0] if parents else run.graph.root
        facts = {
            **self.context.get("facts", {}),
            "depth": len(run.graph.ancestors(first)),
            "children": len(run.graph.children[first]),
            "best": run.graph.best_score,
        }
        if run.backends is not None:
            facts["backends"] = sorted(run.backends)
        fields = {**self.context, "facts": facts}
        context = Context(random.Random(seed), seconds_left=run.seconds_left, **fields)
        nodes = [run.graph[p] for p in parents]
        proposer = run.proposers[name]
        return Stream(lambda: proposer.propose(run.task, nodes, context))

    def _patience(self) -> float:
        return min(self.propose_seconds, max(1.0, self.run.seconds_left))

    def _first_new(self, stream: Stream, name: str) -> Candidate | None:
        for _ in range(DRAWS):
            item = stream.next(self._patience())
            if item is None:
                return None
            candidate = as_candidate(item, name)
            if self.run.backends is not None and candidate.backend not in self.run.backends:
                continue
            known = normal_hash(candidate.source, candidate.backend) in self.run.normals
            if not (known and self.dedupe):
                return candidate
        return None
