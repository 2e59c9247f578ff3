"""The journal on a real PostgreSQL server, started here on a free loopback port as an unprivileged user."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import sqlalchemy as sa
from contracts.journal import EVENTS, JournalContract

from autokd_edge.errors import StoreError
from autokd_edge.store.journal import SQLJournal

pytestmark = pytest.mark.slow


def programs() -> Path | None:
    """Find the folder of PostgreSQL's programs, the newest version first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]), reverse=True)
    on_path = shutil.which("initdb")
    return found[0].parent if found else Path(on_path).resolve().parent if on_path else None


def unprivileged() -> str | None:
    """Name a user that may run the server; it refuses root. None: whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Start a server and return the URL of its database."""
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not installed: apt install postgresql")
    if find_spec("psycopg") is None:
        pytest.skip("psycopg is not installed: pip install 'autokd-edge[postgresql]'")
    user, port = unprivileged(), free_port()
    root = Path(tempfile.mkdtemp(prefix="autokd-pg-"))
    if user is not None:
        shutil.chown(root, user)
    flags = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={root} -c fsync=on"

    def run(*argv: str) -> None:
        done = subprocess.run(argv, user=user, cwd=root, capture_output=True, check=False, env={"PATH": os.defpath, "LC_ALL": "C"})
        assert done.returncode == 0, done.stderr.decode() or done.stdout.decode()

    data = str(root / "data")
    run(str(folder / "initdb"), "-D", data, "-U", "keeper", "--auth=trust", "--encoding=UTF8")
    run(str(folder / "pg_ctl"), "-D", data, "-o", flags, "-l", str(root / "log"), "-w", "start")
    try:
        yield f"postgresql://keeper@127.0.0.1:{port}/postgres"
    finally:
        run(str(folder / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(root)


@pytest.fixture(autouse=True)
def _empty(server: str) -> None:
    execute(server, "DROP TABLE IF EXISTS autokd_event, autokd_schema")


def execute(server: str, statement: str) -> None:
    engine = sa.create_engine(server.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text(statement))


class TestPostgreSQLJournal(JournalContract):
    @pytest.fixture(autouse=True)
    def _server(self, server: str) -> None:
        self.url = server

    def open(self) -> SQLJournal:
        return SQLJournal(self.url)


def test_opening_and_reading_create_no_table(server: str) -> None:
    assert list(SQLJournal(server).read("a")) == []
    assert SQLJournal(server).studies() == ()
    execute(server, "CREATE TABLE autokd_event (free integer)")  # the name is still free


def test_the_second_of_two_writers_is_refused(server: str) -> None:
    first, second = SQLJournal(server), SQLJournal(server)
    assert list(first.read("a")) == list(second.read("a")) == []
    first.append("a", EVENTS[0])
    with pytest.raises(StoreError, match="another process wrote event 0 of 'a'"):
        second.append("a", EVENTS[0])


def test_another_schema_version_is_refused(server: str) -> None:
    SQLJournal(server).append("a", EVENTS[0])
    execute(server, "UPDATE autokd_schema SET version = 7")
    with pytest.raises(StoreError, match="schema version of a journal must be 1; got 7"):
        SQLJournal(server)


def test_a_server_that_is_not_there_is_one_sentence_without_the_password() -> None:
    with pytest.raises(StoreError, match="cannot be used") as raised:
        SQLJournal(f"postgresql://keeper:secret@127.0.0.1:{free_port()}/postgres")
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_database_that_does_not_exist_is_named(server: str) -> None:
    with pytest.raises(StoreError, match='database "absent" does not exist'):
        SQLJournal(server.replace("/postgres", "/absent"))
