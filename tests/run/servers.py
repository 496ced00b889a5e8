"""A PostgreSQL server of one test's own: with settings of its own, to be crashed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from tests import postmaster
from tests.fixtures_server import MEMORY, SETTINGS, Server, free_port, wheel_server


class OwnServer(Server):
    """A server that nobody else uses.

    Args:
        options: Settings beside those of every test's server.
    """

    def __init__(self, **options: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="diwa-own-", dir=MEMORY if MEMORY.is_dir() else None))
        self._folder.chmod(0o755)
        self._wheel = wheel_server(self._folder / "data")
        self.make_data()
        self._port = free_port()
        # What was committed is there after a crash.
        self._options = SETTINGS | {"synchronous_commit": "on"} | options
        self._keepers: list[subprocess.Popen[bytes]] = []
        super().__init__(f"postgresql://postgres@127.0.0.1:{self._port}/postgres")
        self.start()

    def make_data(self) -> None:
        """Make the folder of the server's data."""
        self._wheel.ensure_pgdata_inited()

    @property
    def user(self) -> str | None:
        """The user of the operating system that the server runs as; None for the one who runs the tests."""
        return self._wheel.system_user or None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = [f"-p{self._port}", *(f"-c{name}={value}" for name, value in self._options.items())]
        self._keepers.append(
            subprocess.Popen(
                [
                    sys.executable,
                    postmaster.__file__,
                    str(self._wheel.bin_path),
                    str(self._folder / "data"),
                    self.user or "",
                    *options,
                ],
                stdin=subprocess.PIPE,
            )
        )
        give_up = time.monotonic() + 30
        while not self.answers():
            assert time.monotonic() < give_up, (self._folder / "log").read_text()
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            psycopg.connect(self.admin_url).close()
        except psycopg.OperationalError:
            return False
        return True

    def crash(self) -> None:
        """Stop it at once, as a machine does that loses its power."""
        pid = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        while self.answers():
            time.sleep(0.02)

    def close(self) -> None:
        """End it and remove its data."""
        # The last keeper's server is the one that runs; those before it have nothing left to stop.
        for keeper in reversed(self._keepers):
            keeper.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)


class Standby(OwnServer):
    """A replica that follows another server and can only be read.

    Args:
        primary: The server that it follows.
    """

    _options_of_backup: tuple[str, ...] = ("--write-recovery-conf",)

    def __init__(self, primary: OwnServer) -> None:
        self._primary = primary
        super().__init__()

    def make_data(self) -> None:
        """Copy the primary's data."""
        place = self._folder / "data"
        place.mkdir(exist_ok=True)
        place.chmod(0o700)
        if self.user:
            shutil.chown(place, self.user, self.user)
        subprocess.run(
            [
                self._wheel.bin_path / "pg_basebackup",
                f"--dbname={self._primary.admin_url}",
                f"--pgdata={place}",
                *self._options_of_backup,
                "--checkpoint=fast",
            ],
            check=True,
            user=self.user,
            group=self.user,
            extra_groups=[] if self.user else None,
        )


class Clone(Standby):
    """A server of its own that began as a copy of another one's data."""

    _options_of_backup = ()
