"""python -m benchmarks.plan_durations: what `plan --observe` expects each kind of step to take, and what it takes.

A database at head with many memories, and a history that goes on with one revision of each kind. Printed is a row a
kind; the exit code is 1 where the expected time is not between half and twice the time that it took. Of what takes less
than a second, it has to be expected that it takes less than two.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psycopg

import diwa_schema
from benchmarks import large
from benchmarks.bench import Bench, server
from benchmarks.report import markdown
from diwa_schema.authoring.durations import LITTLE, Duration
from diwa_schema.authoring.observe import Observed, observe
from diwa_schema.migrations import manifest
from diwa_schema.run.settings import Settings
from tests.run.histories import extended

CONTEXTS = 1_000
PATIENT = Settings(allow_stall=True, strong_timeout=1200)
# What only reads comes first: a table that has just been written as a whole is another one than was measured.
KINDS = {
    "metadata only": "op.add_column('memories', sa.Column('mood', sa.Text()))",
    "validation scan": "steps.add_check('memories_actor_check', 'memories', \"actor <> ''\")",
    "validation of a foreign key": (
        "steps.add_foreign_key('memories_for_fkey', 'memories', ['organization_id'], 'organizations')"
    ),
    "NOT NULL": "steps.set_not_null('memories', 'actor')",
    "index built concurrently": (
        "steps.create_index_concurrently('memories_actor_index', 'memories', ['actor', 'content'])"
    ),
    "backfill in batches": "steps.backfill('memories', \"mood = 'calm'\", 'mood IS NULL')",
    "retype": "op.execute('ALTER TABLE memories ALTER mood TYPE varchar(20)')",
    "volatile default": "op.execute('ALTER TABLE memories ADD at timestamptz DEFAULT clock_timestamp()')",
}


class Told(NamedTuple):
    """What was expected of one kind of step, and how long it took, in seconds."""

    kind: str
    expected: Duration
    took: float

    @property
    def ratio(self) -> float:
        return self.expected.expected / self.took

    @property
    def holds(self) -> bool:
        if self.took < LITTLE:
            return self.expected.expected < 2 * LITTLE
        return 0.5 <= self.ratio <= 2


def measured(bench: Bench) -> list[Told]:
    """Return what was expected, and what then came."""
    with large.template(bench, bench.memories, CONTEXTS) as template, bench.database(template) as url:
        diwa_schema.migrate(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        with tempfile.TemporaryDirectory() as folder:
            extended(Path(folder), *KINDS.values())
            manifest.PATH, manifest.VERSIONS = Path(folder) / "manifest.json", Path(folder) / "versions"
            manifest.load.cache_clear()
            return [
                Told(kind, duration(one), seconds(url, one.revision))
                for kind, one in zip(KINDS, observe(diwa_schema.plan(url), url), strict=True)
            ]


def duration(one: Observed) -> Duration:
    if one.duration is None:
        raise SystemExit(f"{one.revision}: {one.unmeasured}")
    return one.duration


def seconds(url: str, revision: str) -> float:
    """Apply a revision, and return how long it took."""
    (applied,) = diwa_schema.migrate(url, revision, settings=PATIENT).applied
    return applied.milliseconds / 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Return 1 where an expectation was off by more than a factor of two."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan_durations", description=__doc__)
    parser.add_argument("--memories", type=int, default=1_000_000, help="rows of the database (1000000)")
    args = parser.parse_args(argv)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with server() as address:
        rows = measured(Bench(address, Path(), memories=args.memories))
    lines = [
        (
            one.kind,
            f"{one.expected.expected:.2f}",
            f"{one.expected.least:.2f} to {one.expected.most:.2f}",
            f"{one.took:.2f}",
            f"{one.ratio:.2f}",
            "yes" if one.holds else "**no**",
        )
        for one in rows
    ]
    print(markdown(("kind of step", "expected, s", "range, s", "took, s", "ratio", "holds"), lines))
    return int(not all(one.holds for one in rows))


if __name__ == "__main__":
    sys.exit(main())
