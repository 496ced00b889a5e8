"""Runs one PostgreSQL server for as long as the process that started this one lives.

    python postmaster.py BIN DATA USER OPTION...

Standard input is a pipe from the parent that nothing is ever written to: its end means that the parent is
gone, killed or not, and the server goes with it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path


def main(folder: str, data: str, user: str, *options: str) -> None:
    # A new session: what interrupts or kills the tests' process group must not take this process with it.
    os.setsid()
    with (Path(data).parent / "log").open("wb") as log:
        server = subprocess.Popen(
            [f"{folder}/postgres", "-D", data, *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            user=user or None,
            group=user or None,
            extra_groups=[] if user else None,
        )
    try:
        sys.stdin.read()
    finally:
        stop(server)
        shutil.rmtree(Path(data).parent, ignore_errors=True)


def stop(server: subprocess.Popen[bytes]) -> None:
    for wish in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        server.send_signal(wish)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            continue
        return


if __name__ == "__main__":
    main(*sys.argv[1:])
