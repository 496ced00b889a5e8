"""The part of the README that shows what was measured last."""

from __future__ import annotations

from pathlib import Path

BEGIN = "<!-- `nox -s bench` writes what follows. -->"
END = "<!-- Up to here. -->"


def update(path: Path, results: str) -> None:
    """Write the first table of the results, with its date and machine, into a README that has the marks for it."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{part(results)}{after}", encoding="utf-8")


def part(results: str) -> str:
    """Return what stands in the README of the results, between its marks."""
    shown = results.partition("\n## ")[0].removeprefix("# ").strip().replace("\n\n", ".\n", 1)
    return f"{BEGIN}\n\n{shown}\n\n{END}"
