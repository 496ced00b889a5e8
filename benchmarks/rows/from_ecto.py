"""From Ecto's last version to head with many memories, against the same statements through psql."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import large
from benchmarks.bench import Bench
from benchmarks.measure import FEWEST_ROUNDS, Row, alternate, process
from benchmarks.rows.fresh import upgrade
from diwa_schema.runner.ecto import LAST


def row(bench: Bench) -> Row | None:
    return against_psql(bench, upgrade, 1.2, "")


def against_psql(bench: Bench, run: Callable[[str], float], at_most: float | None, how: str) -> Row | None:
    """Measure a way to run the upgrade; None where there is no psql.

    Args:
        bench: Where it is measured.
        run: Upgrades a database and returns how long that took, in milliseconds.
        at_most: The ratio that must not be passed.
        how: What to say of the way.
    """
    psql = shutil.which("psql")
    if psql is None:
        return None
    script = printed(bench.folder / "from_ecto.sql")
    with large.template(bench, bench.memories) as template:

        def ours() -> float:
            with bench.database(template) as url:
                return run(url)

        def theirs() -> float:
            with bench.database(template) as url:
                return process("-qX", "-v", "ON_ERROR_STOP=1", "-f", str(script), url, program=psql)

        samples = alternate(FEWEST_ROUNDS, ours, theirs)
    return Row(
        f"from Ecto's last version, {bench.memories:,} memories{how}",
        "the same statements through psql",
        at_most,
        *samples,
    )


def printed(script: Path) -> Path:
    """Write the statements from there to head into a file."""
    command = [
        sys.executable,
        "-m",
        "diwa_schema",
        "upgrade",
        f"{LAST}:head",
        "--sql",
        "--url",
        "postgresql://",
    ]
    script.write_text(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return script
