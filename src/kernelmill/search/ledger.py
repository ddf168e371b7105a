"""What is known independent of any run: tasks, sources, environments, evaluations."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from kernelmill.evaluate.evaluation import Evaluation
from kernelmill.search import engine as _engine
from kernelmill.search import schema as t
from kernelmill.search.errors import StoreMismatch
from kernelmill.search.normalise import normal_hash
from kernelmill.search.records import canonical, digest, read_evaluation
from kernelmill.tasks import Candidate, Task, Tolerance


class Ledger:
    """A database whose evaluations are found again by (task, candidate, environment)."""

    def __init__(self, location: Any = None):
        self._url = _engine.parse_location(location)
        self._engine = _engine.open_engine(self._url)

    @classmethod
    def open(cls, location: Any = None) -> Any:
        """``location`` itself where it is a store already."""
        return location if isinstance(location, cls) else cls(location)

    @property
    def url(self) -> str:
        """Where it is, without a password."""
        return self._url.render_as_string(hide_password=True)

    @property
    def path(self) -> str | None:
        """The SQLite file, if it is one."""
        if self._url.get_backend_name() == "sqlite" and self._url.database != ":memory:":
            return self._url.database
        return None

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _connect(self, write: bool = False) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect().execution_options(write=write) as connection:
                with connection.begin():
                    yield connection
        except exc.SQLAlchemyError as error:
            raise _engine.explain(error, self._url.database or self.url) from error

    def _insert_new(self, connection: sa.Connection, table: sa.Table, **values: Any) -> None:
        """Insert unless a row with these unique values is there."""
        if self._engine.dialect.name in ("sqlite", "postgresql"):
            dialect = __import__(
                f"sqlalchemy.dialects.{self._engine.dialect.name}", fromlist=["insert"]
            )
            connection.execute(dialect.insert(table).values(**values).on_conflict_do_nothing())
            return
        try:
            with connection.begin_nested():
                connection.execute(table.insert().values(**values))
        except exc.IntegrityError:
            pass

    # tasks, candidates, environments

    def put_task(self, task: Task) -> str:
        body = asdict(replace(task, payload=None))
        del body["payload"]
        with self._connect(write=True) as connection:
            self._insert_new(
                connection,
                t.tasks,
                hash=task.hash,
                name=task.name,
                body=canonical(body),
                payload=task.payload,
                created=time.time(),
            )
        return task.hash

    def get_task(self, task_hash: str) -> Task:
        with self._connect() as connection:
            row = connection.execute(
                sa.select(t.tasks).where(t.tasks.c.hash == task_hash)
            ).one_or_none()
        if row is None:
            raise StoreMismatch(f"store {self.url} has no task {task_hash[:12]}")
        body = json.loads(row.body)
        body["tolerance"] = Tolerance(**body["tolerance"])
        body["axes"] = tuple(body["axes"]) if body["axes"] is not None else None
        return Task(payload=row.payload, **body)

    def put_environment(self, facts: Mapping[str, Any]) -> str:
        with self._connect(write=True) as connection:
            return self._environment(connection, facts)

    def _environment(self, connection: sa.Connection, facts: Mapping[str, Any]) -> str:
        key = digest(facts)
        self._insert_new(connection, t.environments, hash=key, body=canonical(facts))
        return key

    def get_environment(self, key: str) -> dict[str, Any]:
        with self._connect() as connection:
            body = connection.scalar(
                sa.select(t.environments.c.body).where(t.environments.c.hash == key)
            )
        return json.loads(body) if body else {}

    # evaluations

    def find_evaluation(
        self, task_hash: str, candidate_hash: str, environment: str
    ) -> Evaluation | None:
        """What is known of a candidate in this environment."""
        e, d = t.evaluations, t.environments
        query = (
            sa.select(e.c.body, d.c.body)
            .join(d, d.c.hash == e.c.details)
            .where(
                e.c.task == task_hash,
                e.c.candidate == candidate_hash,
                e.c.environment == environment,
            )
        )
        with self._connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return read_evaluation(row[0], json.loads(row[1]), task_hash, candidate_hash)

    def put_evaluation(
        self, task_hash: str, candidate: Candidate, environment: str, evaluation: Evaluation
    ) -> None:
        """Keep an evaluation that belongs to no run; the first one stays."""
        with self._connect(write=True) as connection:
            self._candidate(connection, candidate)
            self._evaluation_id(connection, task_hash, candidate.hash, environment, evaluation)

    def _candidate(self, connection: sa.Connection, candidate: Candidate) -> None:
        self._insert_new(
            connection,
            t.candidates,
            hash=candidate.hash,
            normal=normal_hash(candidate.source, candidate.backend),
            backend=candidate.backend,
            source=candidate.source,
        )

    def _evaluation_id(
        self,
        connection: sa.Connection,
        task_hash: str,
        candidate_hash: str,
        environment: str,
        evaluation: Evaluation,
    ) -> int:
        e = t.evaluations
        body = evaluation.to_dict()
        for key in ("accepted", "environment", "task_hash", "candidate_hash"):
            del body[key]
        self._insert_new(
            connection,
            e,
            task=task_hash,
            candidate=candidate_hash,
            environment=environment,
            details=self._environment(connection, evaluation.environment),
            status=evaluation.status,
            fitness=evaluation.fitness,
            body=canonical({k: v for k, v in body.items() if v not in (None, (), [], {})}),
            created=time.time(),
        )
        key = (
            (e.c.task == task_hash)
            & (e.c.candidate == candidate_hash)
            & (e.c.environment == environment)
        )
        return connection.scalar(sa.select(e.c.id).where(key))
