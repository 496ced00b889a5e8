"""The display of observed revisions: tables on a terminal, or Markdown for a pull request."""

from __future__ import annotations

import io
import math
import shutil
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from diwa_schema.authoring.durations import LITTLE
from diwa_schema.names import amount

if TYPE_CHECKING:
    from diwa_schema.authoring.observe import Observed, Touched

_HEADINGS = ("table", "rows", "size", "strongest lock", "waits", "what happens")
_WIDEST = 100  # columns
_LONGEST_NAME = 32
_STEP = 1024
_TIMES = ((120, "s", 1), (7200, "min", 60), (math.inf, "h", 3600))
_ROUND = 10  # from here on, a time has no fraction
_UNITS = ("B", "kB", "MB", "GB", "TB")


def text(found: Iterable[Observed]) -> str:
    """Return the text for a terminal, in its width; 80 columns without a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    width = min(shutil.get_terminal_size((80, 24)).columns, _WIDEST)
    out = io.StringIO()
    console = Console(file=out, width=width, markup=False, highlight=False, emoji=False)
    for one in found:
        console.print(_title(one), style="bold")
        if one.tables:
            table = Table(box=SIMPLE_HEAD, pad_edge=False)
            names = max(len(each.table) for each in one.tables)
            table.add_column("table", overflow="fold", width=min(names, _LONGEST_NAME))
            table.add_column("rows\nsize", justify="right", no_wrap=True)
            table.add_column("strongest lock\nwho waits")
            table.add_column("what happens")
            for name, rows, size, lock, waits, happens in map(_cells, one.tables):
                table.add_row(
                    name,
                    "\n".join(filter(None, (rows, size))),
                    "\n".join(filter(None, (lock, waits))),
                    happens,
                )
            console.print(table)
        for line in _remarks(one):
            console.print(f"  {line}", soft_wrap=True)
        if one.sql and any(_remarks(one)):
            console.print()
        for statement in one.sql:
            console.print("\n".join(f"    {line}" for line in f"{statement};".splitlines()), soft_wrap=True)
        console.print()
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).rstrip()


def markdown(found: Iterable[Observed]) -> str:
    """Return the text as Markdown."""
    lines: list[str] = []
    for one in found:
        lines += [f"### {_title(one)}", ""]
        if one.tables:
            rows = [
                _HEADINGS,
                ("---",) * len(_HEADINGS),
                *(map(_escaped, _cells(each)) for each in one.tables),
            ]
            lines += [*(f"| {' | '.join(row)} |" for row in rows), ""]
        lines += [*(f"- {_escaped(line)}" for line in _remarks(one)), ""]
        sql = "\n\n".join(f"{statement};" for statement in one.sql)
        lines += (
            ["<details><summary>SQL</summary>", "", "```sql", sql, "```", "", "</details>", ""] if sql else []
        )
    return "\n".join(lines).rstrip()


def _title(one: Observed) -> str:
    return (
        f"{one.revision} {one.slug} ({one.phase}, {'one transaction' if one.transactional else 'in pieces'})"
    )


def _cells(one: Touched) -> tuple[str, ...]:
    lock = "" if one.lock is None else _spaced(one.lock)
    rows = "?" if one.rows is None else f"{one.rows:,}"
    return (one.table, rows, _size(one.size), lock, one.waits, "; ".join(_events(one)))


def _spaced(lock: str) -> str:
    """Return the name of a lock in SQL."""
    return (
        "".join(f" {sign}" if sign.isupper() else sign for sign in lock.removesuffix("Lock")).strip().upper()
    )


def _events(one: Touched) -> Iterator[str]:
    if one.dropped:
        yield "dropped"
    if one.rewritten:
        yield "rewritten"
    if one.scan_waits:
        yield f"all rows read, {one.scan_waits} wait" + ("s" if one.scan_waits == "nobody" else "")
    if one.written:
        rows = f" on {amount(one.sample, 'sample row')}" if one.sample else ""
        yield f"rows written ({amount(one.written, 'write')}{rows})"
    yield from (f"{name} not validated" for name in one.unvalidated)
    yield from (f"{name} (known from the kind of the step)" for name in one.known)
    if (
        not (one.dropped or one.rewritten or one.scanned or one.written or one.known)
        and one.scanned is not None
    ):
        yield "metadata only"


def _size(size: int | None) -> str:
    if size is None:
        return ""
    amount = float(size)
    for unit in _UNITS:
        if amount < _STEP or unit == _UNITS[-1]:
            break
        amount /= _STEP
    return f"{amount:.0f} {unit}"


def _remarks(one: Observed) -> Iterator[str]:
    if one.creates:
        yield f"Creates {', '.join(one.creates)}."
    for retype in one.retypes:
        yield (
            f"{retype.column}: {retype.before} -> {retype.after}. Prepared statements of open connections"
            " fail until these reconnect."
        )
    if not (one.sql or one.tables):
        yield "Changes nothing in this database."
        return
    yield _lasting(one)


def _lasting(one: Observed) -> str:
    """Return the duration, and the longest wait of a request."""
    if one.duration is None:
        takes = f"The duration was not measured: {one.unmeasured}"
        takes += "" if takes.endswith(".") else "."
    elif one.duration.most <= LITTLE:
        takes = "Takes less than a second."
    else:
        expected, least, most = map(_time, (one.duration.expected, one.duration.least, one.duration.most))
        takes = f"Takes about {expected}, {least} to {most}."
    if one.longest_wait is None:
        return f"{takes} A session that has to wait waits until the end."
    return f"{takes} A request waits at most {one.longest_wait:.0f} ms." if one.longest_wait else takes


def _time(seconds: float) -> str:
    unit, divided = next((unit, divided) for most, unit, divided in _TIMES if seconds < most)
    amount = seconds / divided
    return f"{amount:.{int(amount < _ROUND)}f} {unit}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
