"""The pages that show what was measured last: every row on a page of the site, a few of them in the README."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report import markdown

BEGIN = "<!-- `nox -s bench` writes what follows. -->"
END = "<!-- Up to here. -->"

# The rows of the README: how the names of both things begin.
FEW = (
    ("upgrade of an empty database", "plain Alembic"),
    ("upgrade with nothing to do", "plain Alembic"),
    ("ensure_current(engine)", "a SELECT"),
    ("check at head", "MetaData.reflect"),
    ("from Ecto's last version", "what `upgrade --sql` prints"),
)


def update(results: str, readme: Path, page: Path) -> None:
    """Write the first table of the results into both files, between their marks.

    Args:
        results: The text of RESULTS.md.
        readme: The file that gets a few rows.
        page: The file that gets every row, the date and the machine.
    """
    for path, shown in ((readme, few(results)), (page, every(results))):
        before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        path.write_text(f"{before}{shown}{after}", encoding="utf-8")


def every(results: str) -> str:
    """Return the part of the page: date, machine and every row of the first table, between the marks."""
    first = results.partition("\n## ")[0].removeprefix("# ").strip()
    return _marked(first.replace("\n\n", ".\n", 1))


def few(results: str) -> str:
    """Return the part of the README: a few rows, medians alone, between the marks.

    Raises:
        StopIteration: The results lack one of the rows.
    """
    rows = [
        [cell.strip() for cell in line.strip("| ").split(" | ")]
        for line in results.partition("\n## ")[0].splitlines()
        if line.startswith("| ")
    ]
    chosen = [
        next(row for row in rows if row[0].startswith(what) and row[2].startswith(against))
        for what, against in FEW
    ]
    shown = [
        (what, ms.partition(" ")[0], against, other.partition(" ")[0])
        for what, ms, against, other, *_ in chosen
    ]
    return _marked(markdown(("what", "ms", "against", "ms"), shown))


def _marked(text: str) -> str:
    return f"{BEGIN}\n\n{text}\n\n{END}"
