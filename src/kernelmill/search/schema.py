"""Tables of the store.

An evaluation belongs to (task, candidate, environment), not to a run: runs point at it, so it is
paid for once. Environments and sources are kept once each, which keeps a node below 3 KB.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

VERSION = 1

metadata = MetaData()

meta = Table(
    "kernelmill_meta",
    metadata,
    Column("key", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("payload", LargeBinary),
    Column("created", Float, nullable=False),
)

candidates = Table(
    "candidates",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("normal", String(64), nullable=False),
    Column("backend", String(40), nullable=False),
    Column("source", Text, nullable=False),
)

environments = Table(
    "environments",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("body", Text, nullable=False),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("task", String(64), ForeignKey("tasks.hash"), nullable=False),
    Column("candidate", String(64), ForeignKey("candidates.hash"), nullable=False),
    Column("environment", String(64), ForeignKey("environments.hash"), nullable=False),
    Column("details", String(64), ForeignKey("environments.hash"), nullable=False),
    Column("status", String(20), nullable=False),
    Column("fitness", Float, nullable=False),
    Column("body", Text, nullable=False),
    Column("created", Float, nullable=False),
    UniqueConstraint("task", "candidate", "environment", name="paid_once"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("task", String(64), ForeignKey("tasks.hash"), nullable=False),
    Column("environment", String(64), ForeignKey("environments.hash"), nullable=False),
    Column("config", Text, nullable=False),
    Column("status", String(20), nullable=False),  # running | interrupted | done | failed
    Column("stop_reason", String(40)),
    Column("result", Text),
    Column("owner", Text),  # host:pid:start of the process that works on it
    Column("elapsed", Float, nullable=False),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
)

# apart from ``runs``: rewritten at every step, and the only large thing that is
states = Table(
    "run_states",
    metadata,
    Column("run", String(80), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

nodes = Table(
    "nodes",
    metadata,
    Column("run", String(80), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("candidate", String(64), ForeignKey("candidates.hash"), nullable=False),
    Column("name", Text, nullable=False),
    Column("provenance", Text, nullable=False),
    Column("status", String(20), nullable=False),  # pending | done
    Column("evaluation", Integer, ForeignKey("evaluations.id")),
    Column("reused", Integer, nullable=False),
    Column("elapsed", Float, nullable=False),
    Column("created", Float, nullable=False),
)

edges = Table(
    "edges",
    metadata,
    Column("run", String(80), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("child", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),  # 0: the tree parent
    Column("parent", Integer, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", String(80), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("time", Float, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Index("events_by_run", "run", "id"),
)
