"""A finding in one line of words."""

from __future__ import annotations

from diwa_schema.drift.findings import TRAITS, Finding
from diwa_schema.drift.text import worded

_SHORT = 160


def line(finding: Finding) -> str:
    """Return a finding in one line of words."""
    subject = f"{finding.kind} {finding.name}"
    if finding.kind == "table":
        return _table(finding)
    if finding.problem == "missing":
        return f"{subject} is missing{_on(finding)}"
    if finding.problem == "renamed":
        return f"{subject} is named {finding.found.name}{_on(finding)}"
    if finding.problem == "extra":
        invalid = " and is INVALID" if getattr(finding.found, "valid", True) is False else ""
        return f"{subject} is not part of the schema{_on(finding)}{invalid}"
    return _changed(finding, subject)


def _on(finding: Finding) -> str:
    return f" on {finding.table}" if finding.table else ""


def _table(finding: Finding) -> str:
    if finding.problem == "missing":
        return f"table {finding.name} is missing"
    return f"table {finding.name} is a {finding.found.kind}"


def _changed(finding: Finding, subject: str) -> str:
    trait = finding.fields[0]
    if finding.kind in TRAITS.values():
        held, wanted = getattr(finding.found, trait), getattr(finding.expected, trait)
        return _TRAITS[trait].format(table=finding.table, found=_shown(held), expected=_shown(wanted))
    if finding.fields == ("valid",):
        return f"{subject} is INVALID{_on(finding)}: a concurrent build did not finish"
    if finding.fields == ("enabled",):
        return f"{subject} is {finding.found.enabled}{_on(finding)}, should be {finding.expected.enabled}"
    found, expected = _short(worded(finding.found)), _short(worded(finding.expected))
    return f"{subject}{_on(finding)} is {found}, should be {expected}"


_TRAITS = {
    "persistence": "table {table} is {found}, should be {expected}",
    "row_security": "row security of table {table} is {found}, should be {expected}",
    "replica_identity": "replica identity of table {table} is {found}, should be {expected}",
    "owner": "table {table} is owned by {found}, not by the owner of the version table",
    "options": "table {table} is declared {found}, should be declared {expected}",
}


def _shown(held: object) -> str:
    if isinstance(held, tuple):
        return ", ".join(held) or "without options"
    return str(held)


def _short(text: str) -> str:
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"
