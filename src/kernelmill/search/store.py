"""The store: everything a run learns, written as it is learnt.

One transaction per step. A run killed at any moment leaves either a pending node, which is judged
again when the run is resumed, or a finished one; an evaluation is found again by the hashes of
task, candidate and environment and never paid for twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from kernelmill.evaluate.evaluation import Evaluation
from kernelmill.search import schema as t
from kernelmill.search.errors import StoreError, StoreMismatch
from kernelmill.search.ledger import Ledger
from kernelmill.search.owner import is_alive, this_process
from kernelmill.search.records import (
    NodeRecord,
    RunRecord,
    canonical,
    read_evaluation,
    run_record,
)
from kernelmill.search.types import Node
from kernelmill.tasks import Candidate


class Store(Ledger):
    """A database of tasks, candidates, evaluations and runs.

    Args:
        location: a file, an SQLAlchemy URL, or ``None`` for ``./kernelmill-runs/store.db``.

    Raises:
        StoreError: it cannot be opened; the sentence names it and says what to do.

    Example:
        >>> from kernelmill.tasks import Task
        >>> store = Store(":memory:")
        >>> task = Task("double", "class Model: ...")
        >>> store.put_task(task) == task.hash
        True
        >>> store.get_task(task.hash).name
        'double'
    """

    def create_run(
        self, run_id: str, task_hash: str, environment: str, config: dict, state: bytes
    ) -> None:
        now = time.time()
        with self._connect(write=True) as connection:
            connection.execute(
                t.runs.insert().values(
                    id=run_id,
                    task=task_hash,
                    environment=environment,
                    config=canonical(config),
                    status="running",
                    owner=this_process(),
                    elapsed=0.0,
                    created=now,
                    updated=now,
                )
            )
            connection.execute(t.states.insert().values(run=run_id, body=state))

    def get_run(self, run_id: str) -> RunRecord:
        """Raises `StoreMismatch` where there is no such run."""
        with self._connect() as connection:
            row = connection.execute(sa.select(t.runs).where(t.runs.c.id == run_id)).one_or_none()
            known = connection.scalars(
                sa.select(t.runs.c.id).order_by(t.runs.c.created.desc()).limit(3)
            ).all()
        if row is None:
            there = f"it has {', '.join(known)}" if known else "it has no runs yet"
            raise StoreMismatch(f"store {self.url} has no run {run_id!r}; {there}")
        return run_record(row)

    def claim_run(self, run_id: str) -> RunRecord:
        """Take a run over to go on with it.

        Raises:
            StoreError: a living process works on it.
        """
        record = self.get_run(run_id)
        with self._connect(write=True) as connection:
            owner, status, updated = connection.execute(
                sa.select(t.runs.c.owner, t.runs.c.status, t.runs.c.updated).where(
                    t.runs.c.id == run_id
                )
            ).one()
            if (
                status == "running"
                and owner
                and owner != this_process()
                and is_alive(owner, updated)
            ):
                host, pid, _ = owner.rsplit(":", 2)
                raise StoreError(
                    f"run {run_id} is being worked on by process {pid} on {host}; "
                    "stop that one first"
                )
            connection.execute(
                t.runs.update()
                .where(t.runs.c.id == run_id)
                .values(owner=this_process(), status="running", updated=time.time())
            )
        return record

    def load_state(self, run_id: str) -> bytes:
        with self._connect() as connection:
            return connection.scalar(sa.select(t.states.c.body).where(t.states.c.run == run_id))

    def _save_state(
        self, connection: sa.Connection, run_id: str, state: bytes, elapsed: float
    ) -> None:
        connection.execute(t.states.update().where(t.states.c.run == run_id).values(body=state))
        connection.execute(
            t.runs.update()
            .where(t.runs.c.id == run_id)
            .values(elapsed=elapsed, updated=time.time())
        )

    def add_node(
        self,
        run: RunRecord,
        node: Node,
        state: bytes,
        elapsed: float,
        evaluation: Evaluation | None = None,
        reused: bool = False,
        done: bool = False,
    ) -> None:
        """Write a new node with the run's state. It is pending unless its evaluation is given or
        it needs none (``done``: the root)."""
        candidate = node.candidate
        with self._connect(write=True) as connection:
            self._candidate(connection, candidate)
            known = evaluation and self._evaluation_id(
                connection, run.task, candidate.hash, run.environment, evaluation
            )
            connection.execute(
                t.nodes.insert().values(
                    run=run.id,
                    id=node.id,
                    candidate=candidate.hash,
                    name=candidate.name,
                    provenance=canonical(dict(candidate.provenance)),
                    status="done" if known or done else "pending",
                    evaluation=known,
                    reused=int(reused),
                    elapsed=elapsed,
                    created=time.time(),
                )
            )
            if node.parents:
                connection.execute(
                    t.edges.insert(),
                    [
                        {"run": run.id, "child": node.id, "position": i, "parent": parent}
                        for i, parent in enumerate(node.parents)
                    ],
                )
            self._save_state(connection, run.id, state, elapsed)

    def settle_node(
        self,
        run: RunRecord,
        node: Node,
        evaluation: Evaluation,
        state: bytes,
        elapsed: float,
        reused: bool = False,
    ) -> None:
        """Write what the judge said about a pending node, with the run's state."""
        with self._connect(write=True) as connection:
            key = self._evaluation_id(
                connection, run.task, node.candidate.hash, run.environment, evaluation
            )
            connection.execute(
                t.nodes.update()
                .where(t.nodes.c.run == run.id, t.nodes.c.id == node.id)
                .values(status="done", evaluation=key, elapsed=elapsed, reused=int(reused))
            )
            self._save_state(connection, run.id, state, elapsed)

    def add_event(
        self,
        run_id: str,
        kind: str,
        body: Mapping[str, Any],
        state: bytes | None = None,
        elapsed: float = 0.0,
    ) -> None:
        """Note something for people: a proposer that failed, a race that could not be held."""
        with self._connect(write=True) as connection:
            connection.execute(
                t.events.insert().values(
                    run=run_id, time=time.time(), kind=kind, body=canonical(dict(body))
                )
            )
            if state is not None:
                self._save_state(connection, run_id, state, elapsed)

    def end_run(
        self,
        run_id: str,
        status: str,
        stop_reason: str | None = None,
        result: Mapping[str, Any] | None = None,
        elapsed: float | None = None,
    ) -> None:
        values: dict[str, Any] = {"status": status, "updated": time.time(), "owner": None}
        if stop_reason is not None:
            values["stop_reason"] = stop_reason
        if result is not None:
            values["result"] = canonical(result)
        if elapsed is not None:
            values["elapsed"] = elapsed
        with self._connect(write=True) as connection:
            connection.execute(t.runs.update().where(t.runs.c.id == run_id).values(**values))

    def load_nodes(self, run_id: str) -> list[NodeRecord]:
        """All nodes of a run in the order of their ids."""
        n, c, e, d = t.nodes, t.candidates, t.evaluations, t.environments
        query = (
            sa.select(
                n.c.id,
                n.c.name,
                n.c.provenance,
                n.c.status,
                n.c.reused,
                n.c.elapsed,
                n.c.candidate,
                c.c.normal,
                c.c.backend,
                c.c.source,
                e.c.task,
                e.c.body,
                e.c.details,
            )
            .join(c, c.c.hash == n.c.candidate)
            .outerjoin(e, e.c.id == n.c.evaluation)
            .where(n.c.run == run_id)
            .order_by(n.c.id)
        )
        parents: dict[int, list[int]] = {}
        with self._connect() as connection:
            rows = connection.execute(query).all()
            for child, parent in connection.execute(
                sa.select(t.edges.c.child, t.edges.c.parent)
                .where(t.edges.c.run == run_id)
                .order_by(t.edges.c.child, t.edges.c.position)
            ):
                parents.setdefault(child, []).append(parent)
            details = {
                key: json.loads(body)
                for key, body in connection.execute(
                    sa.select(d.c.hash, d.c.body).where(
                        d.c.hash.in_(
                            sa.select(e.c.details)
                            .join(n, n.c.evaluation == e.c.id)
                            .where(n.c.run == run_id)
                        )
                    )
                )
            }
        records = []
        for row in rows:
            candidate = Candidate(row.source, row.backend, row.name, json.loads(row.provenance))
            candidate.__dict__["hash"] = row.candidate  # known: saves hashing on load
            evaluation = None
            if row.body is not None:
                evaluation = read_evaluation(
                    row.body, details[row.details], row.task, row.candidate
                )
            node = Node(row.id, candidate, evaluation, tuple(parents.get(row.id, ())))
            records.append(
                NodeRecord(node, row.status != "done", bool(row.reused), row.elapsed, row.normal)
            )
        return records

    def list_runs(self) -> list[tuple[RunRecord, dict[str, Any]]]:
        """Runs, newest first, each with task name, candidates, accepted, best."""
        n, e = t.nodes, t.evaluations
        counts = (
            sa.select(
                n.c.run.label("run"),
                sa.func.count().label("nodes"),
                sa.func.sum(sa.case((e.c.status == "accept", 1), else_=0)).label("accepted"),
                sa.func.max(e.c.fitness).label("best"),
            )
            .outerjoin(e, e.c.id == n.c.evaluation)
            .where(n.c.id > 0)
            .group_by(n.c.run)
            .subquery()
        )
        query = (
            sa.select(t.runs, t.tasks.c.name, counts.c.nodes, counts.c.accepted, counts.c.best)
            .join(t.tasks, t.tasks.c.hash == t.runs.c.task)
            .outerjoin(counts, counts.c.run == t.runs.c.id)
            .order_by(t.runs.c.created.desc(), t.runs.c.id)
        )
        with self._connect() as connection:
            rows = connection.execute(query).all()
        return [
            (
                run_record(row),
                {
                    "task": row.name,
                    "candidates": int(row.nodes or 0),
                    "accepted": int(row.accepted or 0),
                    "best": max(1.0, float(row.best or 0.0)),
                },
            )
            for row in rows
        ]

    def load_events(self, run_id: str) -> list[dict[str, Any]]:
        with self._connect() as connection:
            rows = connection.execute(
                sa.select(t.events).where(t.events.c.run == run_id).order_by(t.events.c.id)
            ).all()
        return [{"time": r.time, "kind": r.kind, **json.loads(r.body)} for r in rows]

    def delete_run(self, run_id: str) -> int:
        """Remove a run; its evaluations stay for other runs. Returns the number of nodes."""
        self.get_run(run_id)
        with self._connect(write=True) as connection:
            count = 0
            for table in (t.events, t.edges, t.nodes, t.states):
                gone = connection.execute(table.delete().where(table.c.run == run_id)).rowcount
                count = gone if table is t.nodes else count
            connection.execute(t.runs.delete().where(t.runs.c.id == run_id))
        return count
