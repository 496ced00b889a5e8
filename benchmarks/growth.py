"""How costs grow: with the rows of a database, and with the length of the history."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import diwa_schema
from benchmarks import large, plain_alembic, report
from benchmarks.bench import Bench
from benchmarks.measure import Sample, process
from diwa_schema.migrations import manifest
from diwa_schema.run.settings import Settings

MEMORIES = (10_000, 100_000, 1_000_000)
REVISIONS = (35, 350, 3_500)
ROUNDS = 5

REVISION = '''"""Nothing."""

revision = {revision!r}
down_revision = {before!r}
branch_labels = None
depends_on = None

phase = "expand"
floor = None


def upgrade() -> None:
    """Do nothing."""


def downgrade() -> None:
    """Do nothing."""
'''


def rows(bench: Bench) -> str:
    """Return how long each revision after Ecto's last one takes with so many memories."""
    found = {memories: _durations(bench, memories) for memories in MEMORIES if memories <= bench.memories}
    first = next(iter(found.values()))
    lines = [[name, *(f"{found[memories][name]}" for memories in found)] for name in first]
    lines.append(["all", *(f"{sum(durations.values())}" for durations in found.values())])
    head = ["revision, ms", *(f"{memories:,} memories" for memories in found)]
    return "## With the rows of a database\n\n" + report.markdown(head, lines)


def _durations(bench: Bench, memories: int) -> dict[str, int]:
    with large.template(bench, memories) as template, bench.database(template) as url:
        done = diwa_schema.migrate(url, settings=Settings(allow_stall=True))
    return {f"{step.revision} {step.slug}": step.milliseconds for step in done.applied}


def history(bench: Bench) -> str:
    """Return how long a check, a run with nothing to do and a fresh one take with so many revisions."""
    present = len(manifest.load().ids)
    lines = [[f"{max(count, present):,} revisions", *_costs(bench, count)] for count in REVISIONS]
    head = [
        "ms",
        "start-up check",
        "nothing to do",
        "empty database",
        "plain Alembic: nothing to do",
        "empty",
    ]
    return "## With the length of the history\n\nWhole processes.\n\n" + report.markdown(head, lines)


def _costs(bench: Bench, count: int) -> list[str]:
    source = longer(bench.folder / f"history-{count}", count)
    env = {**os.environ, "PYTHONPATH": str(source)}
    versions = source / "diwa_schema" / "migrations" / "versions"
    environment = plain_alembic.make(bench.folder / f"plain-{count}", versions)
    found: list[list[float]] = []
    for _ in range(ROUNDS):
        with bench.database() as url, bench.database() as other:
            fresh = _upgrade(url, env)
            plain = plain_alembic.upgrade(environment, other)
            found.append(
                [
                    process("-c", f"import diwa_schema; diwa_schema.ensure_current({str(url)!r})", env=env),
                    _upgrade(url, env),
                    fresh,
                    plain_alembic.upgrade(environment, other),
                    plain,
                ]
            )
    return [f"{Sample(tuple(values)).median:.0f}" for values in zip(*found, strict=True)]


def _upgrade(url: str, env: Mapping[str, str]) -> float:
    return process("-m", "diwa_schema", "upgrade", "--url", url, "--repo", "diwa-schema", env=env)


def longer(folder: Path, count: int) -> Path:
    """Copy the package into a folder with revisions added that do nothing, until it has so many; return the folder."""
    package = Path(str(diwa_schema.__file__)).parent
    # Compiled modules come and go while other processes use the package.
    copy = Path(
        shutil.copytree(package, folder / "diwa_schema", ignore=shutil.ignore_patterns("__pycache__"))
    )
    path = copy / "migrations" / "manifest.json"
    document = json.loads(path.read_text())
    entries = document["revisions"]
    moment = datetime(2100, 1, 1)  # noqa: DTZ001 - only its digits are used
    while len(entries) < count:
        moment += timedelta(seconds=1)
        revision, before = f"{moment:%Y%m%d%H%M%S}", entries[-1]["revision"]
        file = copy / "migrations" / "versions" / f"{revision}_nothing.py"
        file.write_text(REVISION.format(revision=revision, before=before))
        entries.append(
            entries[0]
            | {
                "revision": revision,
                "down_revision": before,
                "slug": "nothing",
                "file": file.name,
                "sha256": manifest.checksum(file),
            }
        )
    path.write_text(json.dumps(document))
    return folder
