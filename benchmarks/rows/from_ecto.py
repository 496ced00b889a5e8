"""From Ecto's last version to head: what a run costs beside the statements it sends, and beside those that lock.

With a few memories nearly all of a run is what it asks and proves between its own statements. With many it fills them
in short pieces, and rests between these so that the applications get their turn; `upgrade --sql` prints the same
changes as statements that keep their locks until they are through. What a million memories mean for the applications
meanwhile, `benchmarks.live_upgrade` measures.
"""

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
from diwa_schema.migrations.ecto import LAST

FEW = 1_000  # memories
ROUNDS = 7  # with many, which take long


def rows(bench: Bench) -> Iterator[Row]:
    psql = shutil.which("psql")
    if psql is None:
        return
    begin = "from Ecto's last version"
    with large.template(bench, FEW) as template:
        same, count = recorded(bench, template)
        ours = partial(on_a_copy, bench, template, in_process)
        theirs = partial(on_a_copy, bench, template, partial(sent, psql, same))
        what, against = f"{begin}, {FEW:,} memories", f"the same {count} statements through psql"
        yield Row(what, against, None, *alternate(bench.rounds, ours, theirs))
    printed = bench.folder / "printed.sql"
    printed.write_text(from_command())
    with large.template(bench, bench.memories) as template:
        ours = partial(on_a_copy, bench, template, in_process)
        theirs = partial(on_a_copy, bench, template, partial(sent, psql, printed))
        what, against = f"{begin}, {bench.memories:,} memories", "what `upgrade --sql` prints, through psql"
        yield Row(what, against, 1.5, *alternate(ROUNDS, ours, theirs))


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
