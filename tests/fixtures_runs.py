"""Runs in processes of their own, and what the tests of them measured, printed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.run.launcher import Launcher

MEASURED = "measured"


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """Starts runs in processes of their own."""
    made = Launcher()
    yield made
    made.close()


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Takes a line that is printed at the end of all tests."""
    return lambda line: record_property(MEASURED, line)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what was measured."""
    lines = [
        (report.nodeid.rpartition("::")[2], line)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, line in report.user_properties
        if name == MEASURED
    ]
    if lines:
        terminalreporter.section("measured")
        for test, line in sorted(lines):
            terminalreporter.line(f"{test}: {line}")
