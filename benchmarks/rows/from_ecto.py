"""From Ecto's last version to head with many memories: what a run costs beside the statements it sends."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import diwa_schema
from benchmarks import large, recording
from benchmarks.bench import Bench
from benchmarks.measure import Row, alternate, process, timed
from benchmarks.rows.fresh import upgrade
from diwa_schema.migrations.ecto import LAST


def rows(bench: Bench) -> Iterator[Row]:
    psql = shutil.which("psql")
    if psql is None:
        return
    what = f"from Ecto's last version, {bench.memories:,} memories"
    with large.template(bench, bench.memories) as template:
        same, count = recorded(bench, template)
        printed = bench.folder / "printed.sql"
        printed.write_text(from_command())

        def measure(run: Callable[[str], float], script: Path, against: str, *, at_most: float | None) -> Row:
            ours = partial(on_a_copy, bench, template, run)
            theirs = partial(on_a_copy, bench, template, partial(sent, psql, script))
            how = "by migrate() in a running program" if run is in_process else "whole process"
            return Row(f"{what}, {how}", against, at_most, *alternate(bench.rounds, ours, theirs))

        yield measure(in_process, same, f"the same {count} statements through psql", at_most=1.2)
        yield measure(in_process, printed, "what `upgrade --sql` prints, through psql", at_most=None)
        yield measure(upgrade, same, f"the same {count} statements through psql", at_most=None)


def on_a_copy(bench: Bench, template: str, run: Callable[[str], float]) -> float:
    """Return how long a run takes on a copy of a database, in milliseconds."""
    with bench.database(template) as url:
        return run(url)


def in_process(url: str) -> float:
    """Upgrade in this program, which has imported everything already."""
    return timed(lambda: diwa_schema.migrate(url))


def sent(psql: str, script: Path, url: str) -> float:
    """Send a script through psql."""
    return process("-qX", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f", str(script), url, program=psql)


def recorded(bench: Bench, template: str) -> tuple[Path, int]:
    """Write what the upgrade sends, on all its connections, into a file; return that and the number of statements."""
    path = bench.folder / "same.sql"
    with bench.database(template) as url:
        text, count = recording.script(lambda: diwa_schema.migrate(url))
    path.write_text(text)
    return path, count


def from_command() -> str:
    """Return the statements that the command line prints for it."""
    command = [sys.executable, "-m", "diwa_schema", "upgrade", f"{LAST}:head", "--sql", "--url"]
    return subprocess.run([*command, "postgresql://"], capture_output=True, text=True, check=True).stdout
