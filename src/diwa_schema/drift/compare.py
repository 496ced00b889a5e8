"""Comparing a live schema with the one expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from diwa_schema.drift import words
from diwa_schema.drift.difference import Difference, Mend, Severity
from diwa_schema.drift.findings import Finding, findings
from diwa_schema.drift.model import Catalog
from diwa_schema.drift.sameness import within_capabilities


class Mender(Protocol):
    """Writes the mends of one comparison."""

    def mend(self, finding: Finding) -> Mend:
        """Return what mends a finding."""

    def rank(self, finding: Finding) -> tuple[int, ...]:
        """Return where its mend stands: first what is in the way, last what would be lost."""


def compare(live: Catalog, expected: Catalog) -> tuple[Difference, ...]:
    """Return what differs, in the order in which it can be mended.

    Tables, views, functions, types and sequences that are not expected are none of our business. On a table
    of ours everything that is not expected is drift, but a plain index, which is a note.

    Args:
        live: What was read.
        expected: What it should be.

    Returns:
        The differences; empty where there are none.
    """
    wanted = within_capabilities(expected, live)
    found = findings(live, wanted)
    mender = _mender(live, wanted, found)
    found.sort(key=lambda one: (*mender.rank(one), one.table or "", one.name))
    return tuple(
        Difference(
            kind=one.kind,
            object=one.name,
            table=one.table,
            problem=one.problem,
            text=words.line(one),
            severity=_severity(one),
            mend=mender.mend(one),
        )
        for one in found
    )


def _mender(live: Catalog, expected: Catalog, found: Sequence[Finding]) -> Mender:
    if live.dialect == "sqlite":
        from diwa_schema.drift.sqlite import mend as mend_sqlite

        return mend_sqlite.Mender(live, expected, found)
    from diwa_schema.drift.postgresql import mend as mend_postgresql

    return mend_postgresql.Mender(live, expected)


def _severity(finding: Finding) -> Severity:
    plain = finding.kind == "index" and not (finding.expected or finding.found).unique
    return "note" if plain and finding.problem == "extra" else "drift"
