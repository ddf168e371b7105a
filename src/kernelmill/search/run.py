"""One search over one task: choose parents, ask a proposer, judge, remember, again."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from statistics import median
from typing import Any

from kernelmill.evaluate.evaluation import Evaluation, Reason
from kernelmill.search.asking import Desk
from kernelmill.search.budget import Budget, Stopper, parse_budget
from kernelmill.search.chooser import Chooser
from kernelmill.search.environment import judge_facts
from kernelmill.search.errors import Interrupted, SearchError, StoreMismatch
from kernelmill.search.events import Event, root_candidate
from kernelmill.search.executor import Executor, Inline
from kernelmill.search.graph import Graph
from kernelmill.search.normalise import normal_hash
from kernelmill.search.policies import Policy, make_policy
from kernelmill.search.proposing import ProposerHung, make_proposers
from kernelmill.search.records import RunRecord, new_run_id
from kernelmill.search.state import RunState
from kernelmill.search.store import Store
from kernelmill.search.types import Node, Proposer
from kernelmill.tasks import CandidateError, Task, TaskError

log = logging.getLogger("kernelmill")

BELIEVED_FLOOR = 0.8  # a candidate far below the floor shows that it is none (data in a cache)
JUDGE_FAILURES = 3  # in a row, after which the search gives up


class Run:
    """A search that survives a crash.

    Args:
        task: what to do.
        judge: has ``evaluate(task, candidate) -> Evaluation``.
        store: a `Store`, a file or a URL.
        proposers: names or objects; ``None``: all that there are.
        budget: see `Budget`; a duration such as ``"60s"`` is enough.
        policy: a policy or its name.
        seed: of the policy's and the proposers' draws.
        drafts: how many candidates come straight from the root before the policy decides.
        dedupe: skip candidates whose normalised source is in the graph.
        backends: candidates of other backends are skipped (``None``: all are taken).
        executor: where evaluations run.
        progress: called with an `Event`.
        propose_seconds: longest wait for one item of a proposer.
        context: further fields of the `Context` that proposers get.
        rng: the policy's generator (its state is kept in the store).
        resume: id of a run to go on with.
        stated_budget, notes: the budget and further facts for the store to keep.
        started: ``time.monotonic()`` from which the time counts; ``None``: now.

    Raises `ValueError` for an argument out of range, `StoreError` where the store cannot be used.
    """

    def __init__(
        self,
        task: Task,
        judge: Any,
        store: Any = None,
        *,
        proposers: Iterable[str | Proposer] | None = None,
        budget: str | float | Budget = "60s",
        policy: str | Policy = "uct",
        seed: int = 0,
        drafts: int = 12,
        dedupe: bool = True,
        backends: Iterable[str] | None = None,
        executor: Executor | None = None,
        progress: Callable[[Event], None] | None = None,
        propose_seconds: float = 60.0,
        context: dict[str, Any] | None = None,
        rng: random.Random | None = None,
        resume: str | None = None,
        stated_budget: Budget | None = None,
        notes: dict[str, Any] | None = None,
        started: float | None = None,
    ):
        if not drafts >= 0:
            raise ValueError(f"drafts must not be negative, got {drafts!r}")
        self.task = task
        self.judge = judge
        self.proposers = {p.name: p for p in make_proposers(proposers)}
        strikes = {name: getattr(p, "strikes", 1) for name, p in self.proposers.items()}
        self.policy = make_policy(policy)
        self.drafts = drafts
        self.backends = None if backends is None else frozenset(backends)
        self.executor = executor or Inline()
        self.progress = progress
        self.budget = parse_budget(budget)
        self._stated = {"budget": (stated_budget or self.budget).to_dict(), **(notes or {})}
        self.store = Store.open(store)
        self.graph = Graph()
        self.chooser = Chooser(strikes)
        self.stopper = Stopper(self.budget)
        self.stop_reason: str | None = None
        self.accepted = 0
        self.normals: set[str] = set()  # normalised sources in the graph
        self._stop: str | None = None
        self._pending: deque[int] = deque()
        self._judge_failures = 0
        self._spent: deque[float] = deque(maxlen=25)
        rng = rng or random.Random(seed)
        if resume is None:
            self._begin(RunState(rng, seed))
        else:
            self._restore(resume, rng)
        self._clock = (started or time.monotonic()) - self.record.elapsed
        self.desk = Desk(
            self,
            dedupe=dedupe,
            propose_seconds=propose_seconds,
            context=dict(context or {}),
        )

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def elapsed(self) -> float:
        """Seconds spent on this run, over all its sessions."""
        return time.monotonic() - self._clock

    @property
    def seconds_left(self) -> float:
        limit = self.budget.seconds
        return float("inf") if limit is None else max(0.0, limit - self.elapsed)

    # beginning and resuming

    def _begin(self, state: RunState) -> None:
        self.state = state
        environment = self.store.put_environment(judge_facts(self.judge))
        self.store.put_task(self.task)
        config = {
            **self._stated,
            "policy": getattr(self.policy, "name", type(self.policy).__name__),
            "proposers": list(self.proposers),
            "seed": state.seed,
            "drafts": self.drafts,
            "backends": sorted(self.backends) if self.backends is not None else None,
        }
        run_id = new_run_id(self.task.name)
        self.store.create_run(run_id, self.task.hash, environment, config, state.encode())
        self.record: RunRecord = self.store.get_run(run_id)
        self._plant()

    def _plant(self) -> None:
        root = Node(0, root_candidate(self.task))
        self.store.add_node(self.record, root, self.state.encode(), 0.0, done=True)
        self._enter(root, 1.0, False)

    def _restore(self, run_id: str, rng: random.Random) -> None:
        if self.store.get_run(run_id).task != self.task.hash:
            raise StoreMismatch(
                f"run {run_id} is about another task than {self.task.name!r}; "
                "resume it with its own task, or start a new run"
            )
        self.record = self.store.claim_run(run_id)
        environment = self.store.put_environment(judge_facts(self.judge))
        if environment != self.record.environment:
            log.warning(
                "run %s was begun in another environment; what is judged from here on is kept "
                "under the new one",
                run_id,
            )
            self.record = replace(self.record, environment=environment)
        self.state = RunState.decode(self.store.load_state(run_id), rng)
        records = self.store.load_nodes(run_id)
        for record in records:
            node = record.node
            self._enter(node, 1.0 if node.id == 0 else node.fitness, record.pending, record.normal)
            if node.id and node.candidate.provenance.get("proposer") in self.proposers:
                self.chooser.novel(node.candidate.provenance["proposer"])
        if not records:  # killed between the run's row and its root
            self._plant()
        for record in sorted((r for r in records[1:] if not r.pending), key=lambda r: r.elapsed):
            self._stop = self._count(record.node, record.elapsed) or self._stop
        for event in self.store.load_events(run_id):
            if event["kind"] == "fruitless" and event["proposer"] in self.proposers:
                self._note_fruitless(event["proposer"], tuple(event["parents"]), event["why"])
        self._pending.extend(sorted(self.graph.pending))

    def _enter(self, node: Node, score: float, pending: bool, normal: str | None = None) -> None:
        self.graph.add(node, score, pending)
        self.normals.add(normal or normal_hash(node.candidate.source, node.candidate.backend))

    # the loop

    def run(self) -> Graph:
        """Search until the budget ends it; ``stop_reason`` says which limit.

        Raises:
            Interrupted: Ctrl-C; the run is saved and can be resumed.
            TaskError: the reference cannot be judged.
            SearchError: the judge keeps failing.
        """
        try:
            self.tell("start", f"run {self.id}")
            self.stop_reason = self._loop()
        except KeyboardInterrupt:
            self.store.end_run(self.id, "interrupted", elapsed=self.elapsed)
            raise Interrupted(self.id, self.store.url, self.graph.best_score) from None
        except BaseException:
            self.store.end_run(self.id, "failed", elapsed=self.elapsed)
            raise
        finally:
            self.desk.close()
        self.store.end_run(self.id, "searched", self.stop_reason, elapsed=self.elapsed)
        return self.graph

    def _loop(self) -> str:
        stop = self._stop
        flying: dict[Future, Node] = {}
        while True:
            while stop is None and len(flying) < self.executor.workers:
                # the first draft, plain torch.compile by default, is judged whatever it costs
                # and every proposer is heard once before a costly one shortens the search
                ahead = 0.0 if self.chooser.unheard() else self._typical() / 2
                late = self.stopper.out_of_time(self.elapsed + ahead)
                if late and self.stopper.count:
                    stop = "wall_clock"
                elif self._pending:
                    self._launch(self.graph[self._pending.popleft()], flying)
                elif self.graph.exhausted or not self.chooser.names:
                    stop = "exhausted"
                else:
                    node = self._propose(bool(flying))
                    if node is None:
                        break
                    stop = self._known_or_launch(node, flying)
            if not flying:
                if stop is not None:
                    return stop
                continue
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            for future in done:
                ended = self._settle(flying.pop(future), future)
                stop = stop or ended

    def _typical(self) -> float:
        """Seconds that an evaluation takes in this session, by the median."""
        return median(self._spent) if self._spent else 0.0

    def _launch(self, node: Node, flying: dict[Future, Node]) -> None:
        self.tell("judging", node.candidate.name, node)
        flying[self.executor.submit(self.judge.evaluate, self.task, node.candidate)] = node

    def _known_or_launch(self, node: Node, flying: dict[Future, Node]) -> str | None:
        """Write a new node; judge it unless the store knows the answer."""
        known = self.store.find_evaluation(
            self.task.hash, node.candidate.hash, self.record.environment
        )
        self.store.add_node(
            self.record,
            node,
            self.state.encode(),
            self.elapsed,
            known,
            reused=known is not None,
        )
        self._enter(node, 0.0, known is None)
        if known is None:
            self._launch(node, flying)
            return None
        return self._judged(node, known, reused=True)

    def _settle(self, node: Node, future: Future) -> str | None:
        environment = self.record.environment
        try:
            evaluation = future.result()
            self._judge_failures = 0
        except TaskError:
            raise
        except (CandidateError, ValueError) as error:  # ValueError: an unknown backend
            evaluation = Evaluation("error", "build", (Reason("candidate", str(error)),))
        except Exception as error:
            # no verdict on the candidate: keep it out of what later runs find
            self._judge_failures += 1
            log.warning("the judge failed on %s: %s", node.candidate.name, error)
            if self._judge_failures >= JUDGE_FAILURES:
                raise SearchError(
                    f"the judge failed {JUDGE_FAILURES} times in a row, last with "
                    f"{type(error).__name__}: {error}"
                ) from error
            text = f"{type(error).__name__}: {error}"
            evaluation = Evaluation("error", "judge", (Reason("judge_failed", text),))
            environment = self.store.put_environment({"judge_failed": text, "run": self.id})
        self.store.settle_node(
            replace(self.record, environment=environment),
            node,
            evaluation,
            self.state.encode(),
            self.elapsed,
        )
        return self._judged(node, evaluation)

    def _judged(self, node: Node, evaluation: Evaluation, reused: bool = False) -> str | None:
        settled = self.graph.settle(node.id, evaluation)
        if not reused:
            self._spent.append(evaluation.seconds)
        stop = self._count(settled, self.elapsed)
        self.tell("node", settled.candidate.name, settled)
        return stop

    def _count(self, node: Node, elapsed: float) -> str | None:
        """Bookkeeping of a judged node; the reason to stop, if there is one."""
        evaluation, timing = node.evaluation, node.evaluation.timing if node.evaluation else None
        proposer = node.candidate.provenance.get("proposer")
        if proposer in self.proposers:
            self.chooser.scored(proposer, node.fitness)
        share = None
        if evaluation is not None and evaluation.accepted:
            self.accepted += 1
            if timing is not None and timing.candidate_ms >= BELIEVED_FLOOR * timing.floor_ms > 0:
                share = timing.candidate_ms / timing.floor_ms
        return self.stopper.add(elapsed, node.fitness, share)

    # proposing

    def _propose(self, flying: bool) -> Node | None:
        """One proposal: a new node that is not written yet, or ``None``."""
        root = self.graph.root
        drafting = len(self.graph.children[root]) < self.drafts and root not in self.graph.closed
        selected = (root,) if drafting else self.policy.select(self.graph, self.state.rng)
        waiting = [p for p in selected if p in self.graph.pending]
        if waiting:
            ready = (n for n in self.graph.candidates_to_expand() if n not in self.graph.pending)
            selected = (next(ready, root),)
        if len(selected) > 1 and not self.chooser.open_for(selected):
            selected = selected[:1]
        if drafting:
            names = self.chooser.open_for(selected)
            name = names[self.state.turn % len(names)] if names else None
            self.state.turn += 1
        else:
            name = self.chooser.pick(self.graph, selected)
        if name is None:
            self.graph.close(selected[0])
            return None
        seed = f"{self.state.seed}/{self.graph.next_id}/{self.state.attempt}"
        self.state.attempt += 1
        self.tell("proposing", name)
        why, text = "nothing", ""
        try:
            if selected == (root,):
                candidate = self.desk.draft(name, seed)
            else:
                candidate = self.desk.improve(name, selected, seed)
        except ProposerHung as error:
            candidate, why, text = None, "hung", str(error)
        except Exception as error:
            candidate, why, text = None, "raised", f"{type(error).__name__}: {error}"
        if candidate is None:
            if text:
                log.warning("proposer %s %s: %s", name, why, text)
            self._note_fruitless(name, selected, why)
            self.store.add_event(
                self.id,
                "fruitless",
                {"proposer": name, "parents": selected, "why": why, "text": text[:2000]},
                self.state.encode(),
                self.elapsed,
            )
            self.tell("fruitless", f"{name}: {text or 'nothing new'}")
            return None
        self.state.attempt = 0
        self.chooser.novel(name)
        return Node(self.graph.next_id, candidate, None, selected)

    def _note_fruitless(self, name: str, parents: tuple[int, ...], why: str) -> None:
        self.chooser.fruitless(name, parents, why)
        self.chooser.names = [n for n in self.chooser.names if n not in self.chooser.retired]
        if len(parents) == 1 and not self.chooser.open_for(parents):
            self.graph.close(parents[0])

    def tell(self, kind: str, message: str, node: Node | None = None) -> None:
        """Report an `Event`; a display that fails stops nothing."""
        event = Event(
            kind,
            message,
            self.elapsed,
            self.budget.seconds,
            self.stopper.count,
            self.accepted,
            self.graph.best_score if len(self.graph) else 1.0,
            node,
        )
        try:
            if self.progress is not None:
                self.progress(event)
        except Exception as error:
            log.debug("the progress display failed: %s", error)
