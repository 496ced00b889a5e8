"""Fixtures of the tests of runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.run.servers import OwnServer


@pytest.fixture(scope="session")
def own_server() -> Iterator[OwnServer]:
    """A server whose autovacuum looks every second, and that a test may crash."""
    made = OwnServer(autovacuum_naptime="1s")
    yield made
    made.close()
