"""What the store hands out."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from typing import Any

from kernelmill.evaluate.evaluation import Evaluation
from kernelmill.search.types import Node


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def plain(value: Any) -> Any:
    """A value for JSON, with infinities and NaN as strings, which every reader takes."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def new_run_id(name: str) -> str:
    """Like ``gelu-chain-3fa2c1``: the task's name and something that no other run has."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "run"
    return f"{slug}-{secrets.token_hex(3)}"


@dataclass(frozen=True)
class RunRecord:
    """A row of the table of runs."""

    id: str
    task: str
    environment: str
    config: dict[str, Any]
    status: str
    stop_reason: str | None
    result: dict[str, Any] | None
    elapsed: float
    created: float
    updated: float


@dataclass(frozen=True)
class NodeRecord:
    """A node with what the graph does not need to know."""

    node: Node
    pending: bool
    reused: bool
    elapsed: float
    normal: str


def run_record(row: Any) -> RunRecord:
    return RunRecord(
        id=row.id,
        task=row.task,
        environment=row.environment,
        config=json.loads(row.config),
        status=row.status,
        stop_reason=row.stop_reason,
        result=json.loads(row.result) if row.result else None,
        elapsed=row.elapsed,
        created=row.created,
        updated=row.updated,
    )


def read_evaluation(
    body: str, environment: dict, task_hash: str, candidate_hash: str
) -> Evaluation:
    facts = json.loads(body)
    facts.update(environment=environment, task_hash=task_hash, candidate_hash=candidate_hash)
    return Evaluation.from_dict(facts)
