"""Runs the embedded PostgreSQL server for as long as a test run somewhere needs it.

    python keeper.py FOLDER PROGRAMS USER

Every run holds a shared lock on the folder's lease, and the operating system releases it however the run ends. When no
run holds a lock any more, the server is stopped; its data stays for the next run.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

DATA = "data"
LEASE = "lease"
LOG = "log"
RUNNING = "running"
SOCKETS = "sockets"
PORT = 5432

SETTINGS = {
    "listen_addresses": "",  # users who may open the folder may connect, nobody else on the machine
    "port": str(PORT),
    "max_connections": "300",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "min_wal_size": "32MB",
    "autovacuum": "off",
    "log_checkpoints": "off",
}
LOOK = 0.2  # seconds between two checks for remaining users


def main(folder: str, programs: str, user: str) -> None:
    """Start the server; the caller's process returns while another process stays with the server.

    Args:
        folder: The folder of data, sockets, locks and log.
        programs: The folder of the server's programs.
        user: The system user that the server runs as; empty for this one.
    """
    here = Path(folder)
    running = os.open(here / RUNNING, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(running, fcntl.LOCK_EX | fcntl.LOCK_NB)
    sockets = here / SOCKETS
    sockets.mkdir(mode=0o700, exist_ok=True)
    if os.fork():
        return
    # A signal to the tests' process group must not end the server of the other runs.
    os.setsid()
    os.chdir("/")
    lease = os.open(here / LEASE, os.O_RDWR | os.O_CREAT, 0o600)
    stop(_serve(here, Path(programs), user, running), lease)


def _serve(here: Path, programs: Path, user: str, running: int) -> subprocess.Popen[bytes]:
    if user:
        import shutil

        shutil.chown(here / SOCKETS, user)
    options = [f"-c{name}={value}" for name, value in SETTINGS.items()]
    with (here / LOG).open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - the programs of the installed wheel
            [
                programs / "postgres",
                "-D",
                here / DATA,
                f"-cunix_socket_directories={here / SOCKETS}",
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            user=user or None,
            group=user or None,
            extra_groups=[] if user else None,
            pass_fds=[running],  # if this process is killed, the lock stays held as long as the server runs
        )


def stop(server: subprocess.Popen[bytes], lease: int) -> None:
    """Wait until nobody needs the server or it has ended; then stop it."""
    while server.poll() is None:
        try:
            fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOOK)
            continue
        # A new run now waits for the lease and starts the server again.
        for wish in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            server.send_signal(wish)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                continue
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
