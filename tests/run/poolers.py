"""PgBouncer between a test and its server."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.fixtures_server import free_port

# Debian puts it where only root looks.
PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

_SETTINGS = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
logfile = {folder}/log
ignore_startup_parameters = extra_float_digits
"""


class Pooler:
    """PgBouncer in front of a server.

    Args:
        url: Any URL of the server.
        mode: How it hands out the server's sessions: session or transaction.
    """

    def __init__(self, url: str, mode: str) -> None:
        if PROGRAM is None:
            pytest.skip("pgbouncer is not installed")
        server = urlsplit(url)
        self._port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="diwa-pooler-"))
        settings = self._folder / "settings.ini"
        settings.write_text(
            _SETTINGS.format(
                host=server.hostname,
                port=server.port,
                user=server.username,
                listen=self._port,
                mode=mode,
                folder=self._folder,
            )
        )
        # It does not run as root.
        user = "nobody" if os.geteuid() == 0 else None
        if user:
            os.chown(self._folder, pwd.getpwnam(user).pw_uid, -1)
        self._process = subprocess.Popen(
            [PROGRAM, "-q", str(settings)], user=user, group=pwd.getpwnam(user).pw_gid if user else None
        )
        self._wait(self.url(server.path[1:]))

    def url(self, name: str) -> str:
        """Return the URL of a database through the pooler."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/{name}"

    def _wait(self, url: str) -> None:
        give_up = time.monotonic() + 10
        while True:
            try:
                psycopg.connect(url).close()
            except psycopg.OperationalError:
                assert time.monotonic() < give_up, (self._folder / "log").read_text()
                time.sleep(0.05)
            else:
                return

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)
