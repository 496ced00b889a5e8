"""The results as Markdown: where and with what they were measured, and one table."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psycopg

from benchmarks.measure import Row, Sample

LIBRARIES = ("diwa-schema", "sqlalchemy", "alembic", "psycopg")


def heading(url: str, rounds: int) -> str:
    """Return date, machine and versions."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('shared_buffers')"
        ).fetchone()
    assert found is not None
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"# Measured on {datetime.now(UTC):%Y-%m-%d}\n\n"
        f"{processor()}, {os.cpu_count()} cores, {platform.system()}, load {os.getloadavg()[0]:.1f};"
        f" Python {platform.python_version()}, {libraries}, PostgreSQL {found[0].split()[0]}"
        f" (fsync {found[1]}, shared_buffers {found[2]}).\n\n"
        f"Both things of a row were measured in turn, {rounds} times or more. Shown are the medians, in milliseconds,"
        " with the range of the middle half; the ratio is that of the medians."
    )


def processor() -> str:
    """Return the processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def table(rows: Iterable[Row]) -> str:
    """Return the table of all rows."""
    lines = [
        (
            row.what,
            _shown(row.ours),
            row.against,
            _shown(row.theirs),
            f"{row.ratio:.2f}",
            "" if row.at_most is None else f"{row.at_most:.2f}",
            "" if row.at_most is None else "yes" if row.holds else "**no**",
        )
        for row in rows
    ]
    return markdown(("what", "ms", "against", "ms", "ratio", "at most", "holds"), lines)


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _shown(sample: Sample) -> str:
    low, high = sample.middle_half
    digits = 0 if sample.median >= 20 else 2
    return f"{sample.median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
