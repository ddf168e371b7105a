"""Opening a store's database: where it is, how it is set up, and clear words when it fails."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from kernelmill.search import schema
from kernelmill.search.errors import StoreError

DEFAULT_STORE = "kernelmill-runs/store.db"


def parse_location(location: Any) -> sa.URL:
    """A path, an SQLAlchemy URL or ``None`` (``./kernelmill-runs/store.db``)."""
    text = DEFAULT_STORE if location is None else str(location)
    if isinstance(location, sa.URL):
        return location
    if not text.strip():
        raise StoreError(
            "store: got an empty location; wanted a file such as runs.db, "
            "or an SQLAlchemy URL such as postgresql://user@host/name"
        )
    if "://" not in text:
        return sa.URL.create("sqlite", database=text)
    try:
        return sa.make_url(text)
    except (exc.ArgumentError, ValueError) as error:
        raise StoreError(
            f"store: {text!r} is no SQLAlchemy URL; wanted for example runs.db, "
            "sqlite:///runs.db or postgresql://user@host/name"
        ) from error


def open_engine(url: sa.URL) -> sa.Engine:
    """Connect, create the tables where there are none, check the version.

    Raises:
        StoreError: anything that keeps the store from being used; nothing is overwritten.
    """
    shown = url.database if url.get_backend_name() == "sqlite" else url.render_as_string()
    shown = shown or "sqlite in memory"
    if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
        _check_file(Path(url.database))
    try:
        engine = sa.create_engine(url)
    except exc.NoSuchModuleError as error:
        raise StoreError(
            f"store {shown}: SQLAlchemy knows no database {url.drivername!r}; "
            "use sqlite or postgresql, or install the package that brings that dialect"
        ) from error
    except ModuleNotFoundError as error:
        raise StoreError(
            f"store {shown}: the driver {error.name!r} is not installed; "
            f"`pip install {error.name}` or use an SQLite file"
        ) from error
    except (exc.ArgumentError, TypeError) as error:
        raise StoreError(f"store {shown}: {error}") from error
    if engine.dialect.name == "sqlite":
        _set_up_sqlite(engine)
    try:
        _create_or_check(engine, shown)
    except exc.SQLAlchemyError as error:
        raise explain(error, shown) from error
    return engine


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise StoreError(f"store {path} is a directory; name a file in it, such as {path}/store.db")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"store {path}: its directory cannot be made ({error.strerror}); choose another place"
        ) from error
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"store {path} cannot be read: {error.strerror}") from error
    if head and head != b"SQLite format 3\0":
        raise StoreError(
            f"store {path} is not an SQLite database (or it is damaged); "
            "move it away or name another file, it has not been touched"
        )
    if head:
        _refuse_foreign(path)


def _refuse_foreign(path: Path) -> None:
    """Before anything is set on the connection: that alone would change the file."""
    connection = sqlite3.connect(path, timeout=30)
    try:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        raise explain(error, str(path)) from error
    finally:
        connection.close()
    if tables and schema.meta.name not in tables:
        raise StoreError(
            f"store {path} is a database of something else "
            f"(it has the tables {', '.join(sorted(tables)[:4])}); name another file"
        )


def _set_up_sqlite(engine: sa.Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: Any) -> None:
        # the driver must not open transactions by itself: see the begin event
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout = 30000")
        cursor.execute("PRAGMA journal_mode = WAL")
        # in WAL mode NORMAL keeps every committed transaction when the process is killed; FULL
        # would also keep the last ones through a power cut, at an fsync per step
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        # a reader that turns writer inside a transaction fails at once when another one writes;
        # a writer that says so at the start waits its turn
        write = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _create_or_check(engine: sa.Engine, shown: str) -> None:
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        present = set(sa.inspect(connection).get_table_names())
        if schema.meta.name not in present:
            schema.metadata.create_all(connection)
            connection.execute(
                schema.meta.insert().values(key="schema_version", value=str(schema.VERSION))
            )
            return
        found = connection.scalar(
            sa.select(schema.meta.c.value).where(schema.meta.c.key == "schema_version")
        )
    if found != str(schema.VERSION):
        raise StoreError(
            f"store {shown} has schema version {found}, this kernelmill reads version "
            f"{schema.VERSION}; use the kernelmill that wrote it, or another file"
        )


def explain(error: Exception, shown: str) -> StoreError:
    """One sentence of a database error."""
    cause = getattr(error, "orig", None) or error
    text = " ".join(str(cause).split()) or type(cause).__name__
    if "malformed" in text or "not a database" in text:
        return StoreError(
            f"store {shown} is damaged ({text}); move it away or restore a copy, "
            "it has not been touched"
        )
    if "readonly" in text or "unable to open" in text:
        return StoreError(
            f"store {shown} cannot be opened for writing ({text}); "
            "check its permissions or name another file"
        )
    if "locked" in text:
        return StoreError(f"store {shown} stayed locked by another process for 30 s; try again")
    return StoreError(f"store {shown} cannot be used: {text}")
