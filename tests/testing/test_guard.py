"""The guard in a consumer's tests: open for what the run has created, and for nothing else."""

from __future__ import annotations


def test_a_consumer_may_migrate_its_own_test_database_and_no_other(checkout, place, postgres):
    checkout.write(
        f"""
import subprocess
import sys

import diwa_schema
import pytest
from diwa_schema.errors import Blocked

given_up = []


def test_own(diwa_database):
    diwa_schema.downgrade(diwa_database, "-1")
    assert diwa_schema.migrate(diwa_database).applied
    given_up.append(diwa_database)


def test_own_through_an_engine(diwa_engine):
    diwa_schema.downgrade(diwa_engine, "-1")


def test_given_up(diwa_database):
    with pytest.raises(Blocked):
        diwa_schema.migrate(given_up[0])


def test_somebody_else_s(diwa_database):
    with pytest.raises(Blocked):
        diwa_schema.migrate({postgres!r})


def test_own_in_another_process(diwa_database):
    command = [sys.executable, "-m", "diwa_schema", "upgrade", "--url", diwa_database]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert "[SAFETY BLOCK]" in done.stderr
"""
    )
    checkout.passes(5, dsn=place)
