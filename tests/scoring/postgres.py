"""A real PostgreSQL server for tests, from installed binaries, gone when the tests end.

Use it so::

    from tests.scoring.postgres import postgres  # noqa: F401  (a fixture, skipped if absent)

    def test_something(postgres):
        address = postgres.database()  # of a new, empty database, for SQLAlchemy
        postgres.cut()                 # every connection breaks
        postgres.crash()               # the server dies and comes back
"""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

OWNER = "owner"
PASSWORD = "s3cret-word"  # any is accepted: tests look for it where it must not be
QUIET = {
    "autovacuum": "off",
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "30",
    "max_wal_senders": "0",
    "shared_buffers": "16MB",
    "unix_socket_directories": "",
    "wal_level": "minimal",
}


def binaries() -> Path | None:
    """Return the newest installed server's folder, where there is one."""
    path = os.environ.get("PATH", "") + ":/usr/local/bin"
    near = [Path(found).parent for found in [shutil.which("initdb", path=path)] if found]
    packed = Path("/usr/lib/postgresql").glob("*/bin")
    rated = sorted(packed, key=lambda folder: float(folder.parent.name), reverse=True)
    return next((f for f in [*near, *rated] if (f / "postgres").exists()), None)


class Server:
    """A server on a free port of the loopback, in a temporary folder, as an unprivileged user."""

    def __init__(self, binaries: Path) -> None:
        self.binaries = binaries
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self.user = self._unprivileged()
        self.numbers = count(1)
        if self.user:
            shutil.chown(self.folder, self.user)
        words = ["initdb", "--no-sync", "--auth=trust", "-E", "UTF8", "--locale=C", "-U", OWNER]
        self._run([*words, "-D", str(self.folder / "data")])
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start, on the port it had before; the first time on a free one."""
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", self.port))
            self.port = free.getsockname()[1]
        settings = {**QUIET, "port": str(self.port)}
        words = [f"--{name}={value}" for name, value in settings.items()]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.folder / "data", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self.user,
                group=self.user and pwd.getpwnam(self.user).pw_gid,
                extra_groups=[] if self.user else None,
                cwd=self.folder,
                preexec_fn=_end_with_parent,
            )
        until = time.monotonic() + 30
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self.folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.02)

    def database(self) -> str:
        """Return the address of a new, empty database, for SQLAlchemy."""
        name = f"bank{next(self.numbers)}"
        self.ask(f"CREATE DATABASE {name} STRATEGY wal_log")
        return self.address(name)

    def address(self, database: str = "postgres", user: str = OWNER) -> str:
        """Return the address of a database, with a password."""
        return f"postgresql+psycopg://{user}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def ask(self, question: str, database: str = "postgres") -> list[Any]:
        """Return the rows that a statement gives, if any; it is committed by itself."""
        import psycopg

        words = f"host=127.0.0.1 port={self.port} user={OWNER} dbname={database}"
        with psycopg.connect(words, autocommit=True) as connection:
            answer = connection.execute(question)  # type: ignore[call-overload]
            return answer.fetchall() if answer.description else []

    def cut(self) -> int:
        """Break every other connection; return how many there were."""
        others = "FROM pg_stat_activity WHERE backend_type = 'client backend'"
        mine = "AND pid <> pg_backend_pid()"
        return len(self.ask(f"SELECT pg_terminate_backend(pid) {others} {mine}"))

    def crash(self) -> None:
        """Let the server die without a farewell, and come back after recovery."""
        self.stop(signal.SIGQUIT)
        self.start()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: at once (``SIGINT``), or as after a power cut (``SIGQUIT``)."""
        self.process.send_signal(how)
        self.process.wait(30)

    def remove(self) -> None:
        """End the server and remove its folder."""
        if self.process.poll() is None:
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        import psycopg

        try:
            self.ask("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, words: list[str]) -> None:
        program = str(self.binaries / words[0])
        done = subprocess.run(
            [program, *words[1:]],
            capture_output=True,
            text=True,
            user=self.user,
            extra_groups=[] if self.user else None,
            cwd=self.folder,
        )
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)

    @staticmethod
    def _unprivileged() -> str | None:
        """Return a user other than root, where this one is root: the server refuses root."""
        if os.getuid():
            return None
        known = {entry.pw_name for entry in pwd.getpwall()}
        return "postgres" if "postgres" in known else "nobody"


def _end_with_parent() -> None:
    """Ask the kernel to end the server when the tests are killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Return a running server, one for all tests of a process; skip where none is installed."""
    pytest.importorskip("psycopg")
    found = binaries()
    if found is None:
        pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
    server = Server(found)
    try:
        yield server
    finally:
        server.remove()
