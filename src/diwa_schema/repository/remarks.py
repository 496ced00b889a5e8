"""The findings of a repository check, and their output formats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from diwa_schema.guard import Role, shown
from diwa_schema.names import amount


class Level(StrEnum):
    """The weight of a finding."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Remark:
    """A finding of a check.

    Args:
        level: An error fails the check, a warning does not.
        path: The file, from the root of the repository.
        what: The problem.
        fix: The fix.
        line: The line in the file, from 1.
        changed: Whether the file was changed since the base.
    """

    level: Level
    path: str
    what: str
    fix: str = ""
    line: int = 1
    changed: bool = True


@dataclass(frozen=True, slots=True)
class Review:
    """The result of a repository check.

    Args:
        role: The repository's role.
        repository: Its name.
        base: The base of the comparison; empty without one.
        findings: The findings, errors first.
        notes: Further notes.
    """

    role: Role
    repository: str
    base: str
    findings: tuple[Remark, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def errors(self) -> int:
        """The number of findings that fail the check."""
        return sum(finding.level is Level.ERROR for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a document for ``--json``."""
        return {
            "role": self.role.value,
            "repository": self.repository,
            "base": self.base,
            "errors": self.errors,
            "warnings": len(self.findings) - self.errors,
            "findings": [
                {
                    "level": finding.level.value,
                    "path": finding.path,
                    "line": finding.line,
                    "what": finding.what,
                    "fix": finding.fix,
                    "changed": finding.changed,
                }
                for finding in self.findings
            ],
            "notes": list(self.notes),
        }

    def lines(self) -> Iterator[str]:
        """Yield the report line by line for people."""
        for finding in self.findings:
            yield f"{shown(finding.path)}:{finding.line}: {finding.level}: {finding.what}"
            if finding.fix:
                yield f"    {finding.fix}"
        yield from self.notes
        yield self.summary()

    def summary(self) -> str:
        """Return the result in one line."""
        warnings = len(self.findings) - self.errors
        verdict = amount(self.errors, "error") if self.errors else "no error"
        against = f", compared with {self.base}" if self.base else ""
        return (
            f"repo-check: {self.repository} ({self.role}): {verdict}, {amount(warnings, 'warning')}{against}"
        )


def github_annotations(report: Review) -> Iterator[str]:
    """Yield GitHub's workflow commands: one annotation for every finding in a changed file."""
    for finding in report.findings:
        if finding.level is Level.ERROR or finding.changed:
            title, text = "diwa-schema repo-check", f"{finding.what} {finding.fix}".strip()
            yield annotation(finding.level, finding.path, finding.line, title, text)


def annotation(level: str, path: str, line: int, title: str, text: str) -> str:
    """Return GitHub's workflow command for a note beside a line.

    Args:
        level: error or warning.
        path: The file, from the root of the repository.
        line: The line, from 1.
        title: The note's title.
        text: Its text.
    """
    place = f"file={_property(path)},line={line},title={_property(title)}"
    return f"::{level} {place}::{_message(text)}"


def _message(text: str) -> str:
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return escaped.encode(errors="backslashreplace").decode()


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
