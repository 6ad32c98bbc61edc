"""A real PostgreSQL server of its own folder, on a port of its own, for one test session."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

PASSWORD = "Canary-pg-5f21c7"
_databases = count(1)


class Postgres:
    """`url`: of its administration; every test takes a database of its own."""

    def __init__(self, bin_folder: Path, folder: Path, port: int) -> None:
        self._bin, self._folder = bin_folder, folder
        self.port = port
        self.url = f"postgresql://garrison:{PASSWORD}@127.0.0.1:{port}/postgres"

    def database(self) -> str:
        name = f"ledger_{next(_databases)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url.removesuffix("postgres") + name

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self._folder} -c fsync=off"
        log = str(self._folder / "log")
        self._run("pg_ctl", "-w", "-D", str(self._folder / "data"), "-l", log, "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "-D", str(self._folder / "data"), "stop")

    def initialise(self) -> None:
        password = self._folder / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (self._folder, password):
                shutil.chown(path, "nobody", "nogroup")
        told = ("-A", "scram-sha-256", "-U", "garrison", "--pwfile", str(password), "-E", "UTF8", "--no-sync")
        self._run("initdb", "-D", str(self._folder / "data"), *told)

    def _run(self, program: str, *arguments: str) -> None:
        """As somebody who is not root, whom PostgreSQL refuses."""
        who = {"user": "nobody", "group": "nogroup", "extra_groups": ()} if os.geteuid() == 0 else {}
        subprocess.run(
            [self._bin / program, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self._folder,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            **who,  # type: ignore[call-overload]
        )


@contextmanager
def postgres() -> Iterator[Postgres]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as name:
        server = Postgres(found[-1].parent, Path(name), _free_port())
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _free_port() -> int:
    """Below the range that the kernel gives to outgoing connections."""
    for port in range(21_430, 21_530):
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")
