"""The journal of studies in one SQL table: SQLite by default, PostgreSQL by URL.

Append-only. An event is one row, written in one transaction that is on the disk when ``append``
returns. A study's rows are numbered from 0, and the number is unique: of two processes that go on
with the same study, the second to write is refused, so that no history is ever interleaved.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.schema import CreateTable

from autokd_edge.core.codec import CodecError, decode, encode
from autokd_edge.core.digest import digest_of_bytes
from autokd_edge.core.events import Event
from autokd_edge.errors import StoreError
from autokd_edge.store.database import open_database
from autokd_edge.store.formats import todays

SCHEMA_VERSION = 1
_PAGE = 256  # rows a read holds at a time: a reading's raw samples are tens of kilobytes
_EVENT = cast("type[Event]", Event)

_TABLES = sa.MetaData()
_EVENTS = sa.Table(
    "autokd_event",
    _TABLES,
    sa.Column("study", sa.String(200), primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("body", sa.Text, nullable=False),  # JSON of the event
    sa.Column("digest", sa.String(64), nullable=False),  # SHA-256 of the body: a damaged byte is seen
    sa.Column("written_at", sa.String(32), nullable=False),  # UTC, ISO 8601
)
_SCHEMA = sa.Table("autokd_schema", _TABLES, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False))

T = TypeVar("T")


class SQLJournal:
    """A journal behind a database URL; holds no connection between calls."""

    def __init__(self, url: str) -> None:
        """Open ``sqlite:///path/to/file`` or ``postgresql://user@host/database``; nothing is created yet.

        Raises:
            StoreError: the URL, the place, the file or its schema version cannot be used.
        """
        self._database = open_database(url)
        self._next: dict[str, int] = {}  # the number after the last event that this journal knows of a study
        self._exists = self._in_transaction(_check_schema)

    def read(self, study: str) -> Iterator[Event]:
        """Yield a study's events, oldest first; nothing where there is no such study.

        Raises:
            StoreError: the journal is of another schema version or damaged.
        """
        if not self._found():
            self._next[study] = 0
            return
        count = 0
        while page := self._page(study, count):
            for row in page:
                yield self._event(study, row, expected=count)
                count += 1
        self._next[study] = count

    def append(self, study: str, event: Event) -> None:
        """Append one event; durable on return.

        Raises:
            StoreError: it could not be written, or another process went on with the study.
        """
        body = json.dumps(encode(event, Event), allow_nan=False, separators=(",", ":"))
        if not self._found():
            self._create()
        if study not in self._next:
            last = self._in_transaction(lambda c: c.scalar(sa.select(sa.func.max(_EVENTS.c.sequence)).where(_EVENTS.c.study == study)))
            self._next[study] = 0 if last is None else last + 1
        number = self._next[study]
        row = {
            "study": study,
            "sequence": number,
            "kind": type(event).__name__,
            "body": body,
            "digest": digest_of_bytes(body.encode()),
            "written_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        try:
            self._in_transaction(lambda c: c.execute(sa.insert(_EVENTS), row))
        except exc.IntegrityError as error:
            raise StoreError(
                f"a study must have one writer; another process wrote event {number} of '{study}' in {self._database.name} first",
                hint="end the other run and start this command again, or give it a name of its own with --study",
            ) from error
        self._next[study] = number + 1

    def studies(self) -> tuple[str, ...]:
        """Return the names of all studies, sorted; raises StoreError."""
        if not self._found():
            return ()
        return tuple(self._in_transaction(lambda c: c.scalars(sa.select(_EVENTS.c.study).distinct().order_by(_EVENTS.c.study)).all()))

    def _found(self) -> bool:
        """Say whether the tables are there; another process may have made them since."""
        self._exists = self._exists or self._in_transaction(_check_schema)
        return self._exists

    def _create(self) -> None:
        try:
            self._in_transaction(_create_schema, create=True)
        except (exc.IntegrityError, StoreError):
            # PostgreSQL: another process made the tables at the same moment, which is just as good.
            if not self._in_transaction(_check_schema):
                raise
        self._exists = True

    def _page(self, study: str, start: int) -> Sequence[sa.RowMapping]:
        chosen = sa.select(_EVENTS.c.sequence, _EVENTS.c.kind, _EVENTS.c.body, _EVENTS.c.digest)
        chosen = chosen.where(_EVENTS.c.study == study, _EVENTS.c.sequence >= start).order_by(_EVENTS.c.sequence).limit(_PAGE)
        return self._in_transaction(lambda c: c.execute(chosen).mappings().all())

    def _event(self, study: str, row: sa.RowMapping, *, expected: int) -> Event:
        where = f"event {expected} of '{study}' in {self._database.name}"
        hint = "restore the journal from a copy, or begin another study with --study NAME"
        if row["sequence"] != expected:
            raise StoreError(f"events must follow without a gap; {where} is missing", hint=hint)
        if digest_of_bytes(row["body"].encode()) != row["digest"]:
            raise StoreError(f"an event must match its SHA-256; {where} is damaged", hint=hint)
        try:
            return decode(_EVENT, todays(json.loads(row["body"])))
        except CodecError as error:
            raise StoreError(f"{where} breaks the schema: {error}", hint=hint) from error

    def _in_transaction(self, work: Callable[[sa.Connection], T], *, create: bool = False) -> T:
        return self._database.run(work, create=create)


def sqlite_url(path: Path) -> str:
    """Return the URL of an SQLite file."""
    return sa.URL.create("sqlite", database=str(path.absolute())).render_as_string()


def _check_schema(connection: sa.Connection) -> bool:
    """Say whether the tables exist; raises StoreError where they are of another version."""
    names = set(sa.inspect(connection).get_table_names())
    if _SCHEMA.name not in names:
        if _EVENTS.name in names:
            raise StoreError("a journal must say its schema version; this one has events without it", hint="give another --store")
        return False
    versions = connection.scalars(sa.select(_SCHEMA.c.version)).all()
    if versions != [SCHEMA_VERSION]:
        said = ", ".join(map(str, versions)) or "none"
        raise StoreError(
            f"schema version of a journal must be {SCHEMA_VERSION}; got {said}",
            hint="give another --store, or use the version of autokd-edge that wrote it",
        )
    return True


def _create_schema(connection: sa.Connection) -> None:
    # The first statement writes, so that SQLite takes the lock once and two creators wait for each other.
    for table in (_SCHEMA, _EVENTS):
        connection.execute(CreateTable(table, if_not_exists=True))
    if not _check_version_row(connection):
        connection.execute(sa.insert(_SCHEMA), {"version": SCHEMA_VERSION})


def _check_version_row(connection: sa.Connection) -> bool:
    return connection.scalar(sa.select(_SCHEMA.c.version)) is not None
