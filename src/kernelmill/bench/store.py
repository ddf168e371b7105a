"""Where benchmark results live: in the same database as evaluations and searches."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from kernelmill.bench.result import Result
from kernelmill.search import schema
from kernelmill.search.errors import StoreError, StoreMismatch
from kernelmill.search.ledger import Ledger
from kernelmill.search.owner import is_alive, this_process
from kernelmill.search.records import canonical
from kernelmill.tasks import Suite

runs = sa.Table(
    "bench_runs",
    schema.metadata,
    sa.Column("id", sa.String(80), primary_key=True),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("suite", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("tasks", sa.Text, nullable=False),  # name to category
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("status", sa.String(20), nullable=False),  # running | done
    sa.Column("owner", sa.Text),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("updated", sa.Float, nullable=False),
)

results = sa.Table(
    "bench_results",
    schema.metadata,
    sa.Column("run", sa.String(80), sa.ForeignKey("bench_runs.id", ondelete="CASCADE")),
    sa.Column("task", sa.String(200)),
    sa.Column("platform", sa.String(40)),
    sa.Column("sample", sa.Integer),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.PrimaryKeyConstraint("run", "task", "platform", "sample"),
)


@dataclass(frozen=True)
class BenchRun:
    """A row of the table of runs; ``tasks`` maps names to categories."""

    id: str
    label: str
    suite: str
    version: str
    hash: str
    tasks: dict[str, str]
    config: dict[str, Any]
    status: str
    created: float
    updated: float


class BenchStore(Ledger):
    """A database of benchmark runs beside the evaluations that they point at.

    Args:
        location: a file, an SQLAlchemy URL, or ``None`` for ``./kernelmill-runs/store.db``.

    Raises:
        StoreError: it cannot be opened.

    Example:
        >>> from kernelmill.tasks import Task
        >>> store = BenchStore(":memory:")
        >>> run = store.create_run(Suite("mine", "1", (Task("a", "...", category="x"),)))
        >>> store.add(run, Result("a", "x", "cpp", correct=True))
        >>> [result.task for result in store.results(run)], store.run(run).tasks
        (['a'], {'a': 'x'})
    """

    def __init__(self, location: Any = None):
        super().__init__(location)
        # a database that an older version made lacks these
        schema.metadata.create_all(self._engine, tables=[runs, results])

    def create_run(
        self, suite: Suite, label: str = "", config: Mapping[str, Any] | None = None
    ) -> str:
        """A new run of a suite; its id."""
        run = f"{suite.name}-{secrets.token_hex(3)}"
        now = time.time()
        with self._connect(write=True) as connection:
            connection.execute(
                runs.insert().values(
                    id=run,
                    label=label,
                    suite=suite.name,
                    version=suite.version,
                    hash=suite.hash,
                    tasks=canonical({task.name: task.category or "" for task in suite}),
                    config=canonical(config or {}),
                    status="running",
                    owner=this_process(),
                    created=now,
                    updated=now,
                )
            )
        return run

    def claim(self, run: str, suite: Suite) -> BenchRun:
        """Take a run over to go on with it.

        Raises:
            StoreMismatch: it is of other tasks. StoreError: a living process works on it.
        """
        record = self.run(run)
        if record.hash != suite.hash:
            raise StoreMismatch(
                f"run {record.id} is of {record.suite} {record.version} with other tasks than "
                f"{suite.name} {suite.version}; start a new one"
            )
        with self._connect(write=True) as connection:
            row = connection.execute(
                sa.select(runs.c.owner, runs.c.status, runs.c.updated).where(runs.c.id == record.id)
            ).one()
            busy = row.status == "running" and row.owner and row.owner != this_process()
            if busy and is_alive(row.owner, row.updated):
                pid = row.owner.rsplit(":", 2)[1]
                raise StoreError(f"run {record.id} is being worked on by process {pid}")
            connection.execute(
                runs.update()
                .where(runs.c.id == record.id)
                .values(owner=this_process(), status="running", updated=time.time())
            )
        return record

    def finish(self, run: str) -> None:
        """Mark a run as done."""
        with self._connect(write=True) as connection:
            connection.execute(
                runs.update().where(runs.c.id == run).values(status="done", updated=time.time())
            )

    def add(self, run: str, result: Result) -> None:
        """Keep a result; the first one of a (task, platform, sample) stays."""
        now = time.time()
        with self._connect(write=True) as connection:
            self._insert_new(
                connection,
                results,
                run=run,
                task=result.task,
                platform=result.platform,
                sample=result.sample,
                body=canonical(result.to_dict()),
                created=now,
            )
            connection.execute(runs.update().where(runs.c.id == run).values(updated=now))

    def results(self, run: str) -> list[Result]:
        """Every result of a run, in the order of task, platform and sample."""
        record = self.run(run)
        query = (
            sa.select(results.c.body)
            .where(results.c.run == record.id)
            .order_by(results.c.task, results.c.platform, results.c.sample)
        )
        with self._connect() as connection:
            bodies = connection.scalars(query).all()
        return [Result.from_dict(json.loads(body)) for body in bodies]

    def runs(self) -> list[BenchRun]:
        """Every run, newest first."""
        with self._connect() as connection:
            rows = connection.execute(sa.select(runs).order_by(runs.c.created.desc())).all()
        return [_record(row) for row in rows]

    def run(self, name: str) -> BenchRun:
        """A run by its id, the beginning of its id, or its label (the newest of several).

        Raises:
            StoreMismatch: there is none, or the beginning fits several.
        """
        known = self.runs()
        found = [r for r in known if r.id == name] or [r for r in known if r.label == name][:1]
        found = found or [r for r in known if r.id.startswith(name)]
        if len(found) == 1:
            return found[0]
        there = ", ".join(r.id for r in (found or known)[:5]) or "none"
        what = "several runs" if found else "no run"
        raise StoreMismatch(f"store {self.url} has {what} {name!r}: {there}")

    def delete_run(self, name: str) -> None:
        """Delete a run and its results; evaluations stay."""
        record = self.run(name)
        with self._connect(write=True) as connection:
            connection.execute(results.delete().where(results.c.run == record.id))
            connection.execute(runs.delete().where(runs.c.id == record.id))


def _record(row: Any) -> BenchRun:
    return BenchRun(
        id=row.id,
        label=row.label,
        suite=row.suite,
        version=row.version,
        hash=row.hash,
        tasks=json.loads(row.tasks),
        config=json.loads(row.config),
        status=row.status,
        created=row.created,
        updated=row.updated,
    )
