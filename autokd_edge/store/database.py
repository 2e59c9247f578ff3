"""Open a database by URL and turn what its drivers say into one sentence of ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from autokd_edge.errors import StoreError

_WAIT_S = 30  # for another process's transaction; ours take milliseconds
_HINT = "--store sqlite:///runs/journal.sqlite or --store postgresql://user@host/database"

# What SQLite's result codes (https://sqlite.org/rescode.html) mean to a user: sentence and next step.
_SQLITE_SAYS = {
    "SQLITE_NOTADB": ("is not an SQLite database", "move the file away, or give another --store"),
    "SQLITE_CORRUPT": ("is damaged", "restore it from a copy, or give another --store"),
    "SQLITE_FULL": ("is on a disk that is full", "free some space; the same command then goes on from the last event"),
    "SQLITE_READONLY": ("cannot be written: the file or its folder is read-only", "change its permissions, or give another --store"),
    "SQLITE_CANTOPEN": ("cannot be opened: its folder does not allow it", "change its permissions, or give another --store"),
    "SQLITE_BUSY": (f"was locked by another process for over {_WAIT_S} s", "end the other run and start this command again"),
    "SQLITE_IOERR": ("cannot be read or written: the disk reports an error", "check the disk and its free space"),
}

T = TypeVar("T")


class Database:
    """A database to run transactions in; each opens a connection of its own and closes it."""

    def __init__(self, engine: sa.Engine, *, name: str, file: Path | None) -> None:
        self.name = name  # for messages: a path, or a URL without its password
        self._engine = engine
        self._file = file

    def run(self, work: Callable[[sa.Connection], T], *, create: bool = False) -> T:
        """Run ``work`` in one transaction, durable on return.

        A missing SQLite file is created only with ``create``; else ``work`` sees an empty database.

        Raises:
            StoreError: the database refused.
            IntegrityError: SQLAlchemy's; what a row that exists means, the caller knows.
        """
        engine = self._engine
        if self._file is not None and not self._file.exists():
            if create:
                _make_folder(self._file.parent)
            else:
                engine = _sqlite_engine(None)
        try:
            with engine.begin() as connection:
                return work(connection)
        except exc.IntegrityError:
            raise
        except exc.SQLAlchemyError as error:
            raise self._said(error) from error
        except StoreError as error:
            raise StoreError(f"{self.name}: {error.args[0]}", hint=error.hint) from error

    def _said(self, error: exc.SQLAlchemyError) -> StoreError:
        origin = getattr(error, "orig", None)
        code = str(getattr(origin, "sqlite_errorname", ""))
        for known, (sentence, hint) in _SQLITE_SAYS.items():
            if code.startswith(known):
                return StoreError(f"journal {self.name} {sentence}", hint=hint)
        first = (str(origin or error).strip().splitlines() or ["no reason given"])[0]
        return StoreError(f"journal {self.name} cannot be used: {first}", hint="check that the server runs and the URL is right")


def open_database(url: str) -> Database:
    """Make a database of a URL; nothing is opened or created.

    Raises:
        StoreError: the URL is not one, its scheme is unknown, or it names a folder.
    """
    try:
        parsed = sa.make_url(url)
    except exc.ArgumentError:
        raise StoreError(f"store must be a URL; got '{url}'", hint=_HINT) from None
    name = parsed.render_as_string(hide_password=True)
    scheme = parsed.drivername
    if scheme == "sqlite":
        return _open_sqlite(parsed)
    if scheme in {"postgresql", "postgresql+psycopg"}:
        return Database(_postgresql_engine(parsed), name=name, file=None)
    raise StoreError(f"store URL must begin with sqlite:/// or postgresql://; got '{name}'", hint=_HINT)


def _open_sqlite(url: sa.URL) -> Database:
    if not url.database or url.database == ":memory:":
        raise StoreError("an SQLite store must name a file; events must outlive the process", hint=_HINT)
    path = Path(url.database)
    if path.is_dir():
        raise StoreError(f"an SQLite store must be a file; '{path}' is a folder", hint=f"--store sqlite:///{path / 'journal.sqlite'}")
    return Database(_sqlite_engine(path), name=f"'{path}'", file=path)


def _sqlite_engine(path: Path | None) -> sa.Engine:
    url = sa.URL.create("sqlite", database=None if path is None else str(path))
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"timeout": _WAIT_S})
    sa.event.listen(engine, "connect", _set_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401  the driver's own class, behind SQLAlchemy's hook
    # The driver must not begin transactions by itself (it leaves CREATE TABLE outside of them).
    connection.isolation_level = None
    # EXTRA syncs the folder too, so that a commit survives a power cut in SQLite's default journal mode.
    # That mode (one file, no shared memory) also lets a report be read from a read-only place.
    connection.execute("PRAGMA synchronous=EXTRA")


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _postgresql_engine(url: sa.URL) -> sa.Engine:
    try:
        return sa.create_engine(url.set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    except ImportError:
        raise StoreError("a PostgreSQL store needs the package psycopg", hint="pip install 'autokd-edge[postgresql]'") from None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"folder '{folder}' for the journal cannot be made: {error.strerror}", hint="give another --store") from error
