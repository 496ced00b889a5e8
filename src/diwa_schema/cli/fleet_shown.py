"""The display of a fleet: its progress, and the table at its end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from diwa_schema.names import amount, on_one_line

if TYPE_CHECKING:
    from diwa_schema.cli.foot import Foot
    from diwa_schema.cli.measure import Measure
    from diwa_schema.fleet import Copied, FleetReport, Outcome

_ROWS = 40  # the most targets that are all listed
_WIDEST = 40


class Shown:
    """The display of a running fleet: one document per line for machines, or lines for people."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self._foot: Foot | None = None
        self._targets: Measure | None = None
        self._gone = False
        self._printed: dict[tuple[str, ...], tuple[str, str]] = {}

    def ended(self, outcome: Outcome, done: int, total: int) -> None:
        """Show the outcome of a target."""
        if self._as_json:
            self._document(outcome)
        elif not self._quiet:
            from diwa_schema.cli.foot import drawable
            from diwa_schema.fleet.report import Result

            if drawable():
                self._draw(done, total)
            # Targets with nothing to do are many, and all alike.
            plain = self._foot is None and outcome.result is not Result.NOTHING
            if plain or not outcome.result.settled:
                from diwa_schema.cli.measure import took

                lasted = "" if outcome.milliseconds is None else f"  {took(outcome.milliseconds)}"
                self.said(f"[{done}/{total}] {on_one_line(outcome.name)}: {outcome.result}{lasted}")

    def finish(self, report: FleetReport) -> None:
        """Print the documents of a report that a machine does not have: targets not begun, and changed outcomes."""
        for outcome in report.outcomes if self._as_json else ():
            if self._printed.get(_key(outcome)) != _told(outcome):
                self._document(outcome)

    def _document(self, outcome: Outcome) -> None:
        import json

        self._printed[_key(outcome)] = _told(outcome)
        self._print(json.dumps(outcome.as_dict(), default=str))

    def said(self, line: str) -> None:
        """Show a line."""
        from diwa_schema.terminal import fitted

        with suppress(OSError, ValueError):
            if self._foot is not None:
                self._foot.say(line)
            else:
                sys.stderr.write(f"{fitted(line, sys.stderr)}\n")
                sys.stderr.flush()

    def close(self) -> None:
        """Remove the drawn lines."""
        if self._foot is not None:
            self._foot.close()

    def _print(self, line: str) -> None:
        # A run continues even if nobody can read its output.
        if self._gone:
            return
        try:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        except (OSError, ValueError):
            self._gone = True

    def _draw(self, done: int, total: int) -> None:
        if self._foot is None:
            from diwa_schema.cli.foot import Foot
            from diwa_schema.cli.measure import Measure

            self._foot, self._targets = Foot(), Measure("", "targets")
        if self._targets is not None:
            self._targets.reach(done, total)
            self._foot.show("fleet", self._targets)


def _key(outcome: Outcome) -> tuple[str, ...]:
    return outcome.name, outcome.database, str(outcome.schema)


def _told(outcome: Outcome) -> tuple[str, str]:
    return str(outcome.result), outcome.detail


@contextmanager
def progress(args: argparse.Namespace) -> Iterator[Shown]:
    """Yield the display of a running fleet."""
    # For a command that only reads, the table has everything.
    shown = Shown(as_json=args.json, quiet=not hasattr(args, "jobs"))
    try:
        yield shown
    finally:
        shown.close()


def lines(report: FleetReport, *, interrupted: bool) -> Iterator[str]:
    """Yield the table of a report, the errors of failed targets, and the sum."""
    shown = report.outcomes
    if len(shown) > _ROWS:
        shown = tuple(one for one in shown if not one.result.settled)
    rows = [_row(one) for one in shown]
    if rows:
        head = ("target", "result", "revision", "detail")
        widths = [min(max(len(row[at]) for row in (head, *rows)), _WIDEST) for at in range(3)]
        for row in (head, *rows):
            yield "  ".join(
                [*(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)), row[3]]
            ).rstrip()
    for one in shown:
        if one.error:
            yield from ("", on_one_line(f"{one.name} ({one.database}): exit {one.exit_code}"))
            yield from (
                f"  {line}" for part in ("what", "untouched", "next_step") for line in _texts(one, part)
            )
    yield from ("", *report.notes) if report.notes else ()
    counts = ", ".join(f"{count} {result}" for result, count in report.counts.items())
    if rows:
        yield ""
    said = f"{amount(len(report.outcomes), 'target')}: {counts or 'none'}, in {report.seconds:.1f} s."
    yield f"Interrupted. {said}" if interrupted else said


def _texts(outcome: Outcome, part: str) -> list[str]:
    return [on_one_line(line) for line in str((outcome.error or {}).get(part) or "").splitlines()]


def _row(one: Outcome) -> tuple[str, str, str, str]:
    before, after = one.before or "base", one.after or "base"
    detail = one.detail.splitlines()[0] if one.detail and not one.error else ""
    if not detail and one.revisions:
        detail = amount(len(one.revisions), "revision")
    if one.digest:
        detail = f"{detail}  {one.digest}".strip()
    place = f"{before} -> {after}" if before != after else before
    if not (one.result.settled or one.before or one.after):
        place = ""
    # The name of a tenant may be its customer's choice.
    return on_one_line(one.name), str(one.result), place, on_one_line(detail)


def copied(done: Copied) -> Iterator[str]:
    """Yield the result of a copy: its tables with rows, the uncopied objects, and the sum."""
    width = max((len(one.table) for one in done.tables), default=0)
    for one in done.tables:
        if one.rows:
            yield f"{one.table:{width}}  {one.rows:>10}  {one.digest}"
    if done.left:
        yield f"Not copied, because they are not part of the schema or were set aside: {', '.join(done.left)}."
    if done.archived:
        yield f"The archive has {amount(done.archived, 'embedding')} of another length than this schema's vectors."
    for rule, rows in done.waits.items():
        yield f"Rule {rule} waits in the copy: {amount(rows, 'row', 'breaks')} it."
    total, tables = amount(done.rows, "row"), amount(len(done.tables), "table")
    yield f"{done.source} is copied to {done.report.where}: {total} in {tables}, each compared."
